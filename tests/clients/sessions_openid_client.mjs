// An app that renews a login silently and logs out, with openid-client.
// See run_app in conftest.py.
import * as client from "openid-client";
import { createInterface } from "node:readline";

const op = JSON.parse(process.argv[2]);
const config = await client.discovery(
  new URL(op.issuer),
  op.client_id,
  op.client_secret,
  undefined,
  { execute: [client.allowInsecureRequests] },
);
client.enableNonRepudiationChecks(config);

const lines = createInterface({ input: process.stdin });
const read = lines[Symbol.asyncIterator]();
const visit = async (url) => {
  console.log(JSON.stringify({ url: url.href }));
  return new URL((await read.next()).value);
};

const logIn = async (more = {}, maxAge = undefined) => {
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
  return await client.authorizationCodeGrant(config, landing, {
    pkceCodeVerifier: verifier,
    expectedState: state,
    expectedNonce: nonce,
    maxAge,
  });
};
const refusal = (error) => error.error;

const first = await logIn();
const silent = await logIn({ prompt: "none", id_token_hint: first.id_token });
const fresh = await logIn({ max_age: "3600" }, 3600);
const again = await logIn({ max_age: "0" }, 0);
const bye = await visit(
  client.buildEndSessionUrl(config, {
    id_token_hint: again.id_token,
    post_logout_redirect_uri: `${op.redirect_uri}/bye`,
    state: "see you",
  }),
);
const after = await logIn({ prompt: "none" }).catch(refusal);
console.log(
  JSON.stringify({
    first: first.claims(),
    silent: silent.claims(),
    fresh: fresh.claims(),
    again: again.claims(),
    bye: bye.href,
    after,
  }),
);
lines.close();
