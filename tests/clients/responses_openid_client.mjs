// An app that wants its answers in every way, with openid-client.
// See run_app in conftest.py; the browser tells where it landed and what it posted.
import * as client from "openid-client";
import { createInterface } from "node:readline";

const op = JSON.parse(process.argv[2]);
const discover = async (use) => {
  const config = await client.discovery(
    new URL(op.issuer),
    op.client_id,
    op.client_secret,
    undefined,
    { execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks] },
  );
  use(config);
  return config;
};

const lines = createInterface({ input: process.stdin });
const read = lines[Symbol.asyncIterator]();
const visit = async (url) => {
  console.log(JSON.stringify({ url: url.href }));
  return JSON.parse((await read.next()).value);
};
// What a server's framework hands to the app: a POST, or an address.
const seen = ({ url, form }) =>
  Object.keys(form).length
    ? new Request(url, { method: "POST", body: new URLSearchParams(form) })
    : new URL(url);

const ask = async (config, more) => {
  const verifier = client.randomPKCECodeVerifier();
  const state = client.randomState();
  const nonce = client.randomNonce();
  const landing = await visit(
    client.buildAuthorizationUrl(config, {
      redirect_uri: op.redirect_uri,
      scope: op.scopes,
      code_challenge: await client.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
      state,
      nonce,
      ...more,
    }),
  );
  const checks = { expectedState: state, expectedNonce: nonce };
  return { landing, nonce, checks, grant: { ...checks, pkceCodeVerifier: verifier } };
};

const code = await discover(() => {});
const hybrid = await discover(client.useCodeIdTokenResponseType);
const implicit = await discover(client.useIdTokenResponseType);

const learnt = {};
for (const [name, config, more] of [
  ["code by form_post", code, { response_mode: "form_post" }],
  ["hybrid", hybrid, {}],
  ["hybrid by form_post", hybrid, { response_mode: "form_post" }],
]) {
  const { landing, grant } = await ask(config, more);
  const tokens = await client.authorizationCodeGrant(config, seen(landing), grant);
  learnt[name] = tokens.claims();
}
for (const [name, more] of [
  ["implicit", {}],
  ["implicit by form_post", { response_mode: "form_post" }],
]) {
  const { landing, nonce, checks } = await ask(implicit, more);
  learnt[name] = await client.implicitAuthentication(
    implicit,
    seen(landing),
    nonce,
    { expectedState: checks.expectedState },
  );
}

// Somebody passes off their own answer as this provider's (RFC 9207).
const { landing, grant } = await ask(code, {});
const forged = new URL(landing.url);
forged.searchParams.set("iss", "https://evil.example");
const missing = new URL(landing.url);
missing.searchParams.delete("iss");
const refusal = (error) => String(error.cause?.message ?? error.message);
learnt.forged = await client.authorizationCodeGrant(code, forged, grant).catch(refusal);
learnt.missing = await client.authorizationCodeGrant(code, missing, grant).catch(refusal);
console.log(JSON.stringify(learnt));
lines.close();
