// Apps that push their requests (RFC 9126), sign them (RFC 9101), do both, and do
// without a browser, with openid-client.  See run_app in conftest.py; the browser tells
// where it ended.
import * as client from "openid-client";
import { createInterface } from "node:readline";

const op = JSON.parse(process.argv[2]);
const es256 = { name: "ECDSA", namedCurve: "P-256" };
const key = {
  kid: op.key.kid,
  key: await crypto.subtle.importKey("jwk", op.key, es256, false, ["sign"]),
};
const stranger = await crypto.subtle.generateKey(es256, false, ["sign", "verify"]);
const forged = { kid: key.kid, key: stranger.privateKey };
const discover = (id, secret, authentication) =>
  client.discovery(new URL(op.issuer), id, secret, authentication, {
    execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks],
  });
const pushes = await discover("pushes", op.client_secret);
const signs = await discover("signs", op.client_secret);
const both = await discover("both", undefined, client.PrivateKeyJwt(key));

const lines = createInterface({ input: process.stdin });
const read = lines[Symbol.asyncIterator]();
const visit = async (url) => {
  console.log(JSON.stringify({ url: url.href }));
  return JSON.parse((await read.next()).value);
};
// What the app remembers of a request, and the request.
const begin = async (more = {}) => {
  const checks = {
    pkceCodeVerifier: client.randomPKCECodeVerifier(),
    expectedState: client.randomState(),
    expectedNonce: client.randomNonce(),
  };
  const asked = new URLSearchParams({
    redirect_uri: op.redirect_uri,
    scope: "openid",
    code_challenge: await client.calculatePKCECodeChallenge(checks.pkceCodeVerifier),
    code_challenge_method: "S256",
    state: checks.expectedState,
    nonce: checks.expectedNonce,
    ...more,
  });
  return { asked, checks };
};
const finish = ({ url, form }, config, checks, options) => {
  const posted = { method: "POST", body: new URLSearchParams(form) };
  const came = Object.keys(form).length ? new Request(url, posted) : new URL(url);
  return client.authorizationCodeGrant(config, came, checks, undefined, options);
};
const said = (token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
// It shows the challenge of a 401, and keeps the body to itself.
const refusal = (error) =>
  error.error ?? error.cause?.error ?? (error.status === 401 ? "invalid_client" : `${error}`);
const learnt = {};

// Pushed.
{
  const { asked, checks } = await begin({ scope: op.scopes });
  const url = await client.buildAuthorizationUrlWithPAR(pushes, asked);
  learnt.carried = [...url.searchParams.keys()].sort();
  learnt.pushed = (await finish(await visit(url), pushes, checks)).claims();
  learnt.again = (await visit(url)).page;
}
const push = async (config, more) =>
  client.buildAuthorizationUrlWithPAR(config, (await begin(more)).asked).catch(refusal);
const nobody = await discover("pushes", "another-secret");
const elsewhere = "https://elsewhere.example.com/";
learnt.refusals = [
  await push(pushes, { scope: "openid nonsense" }),
  await push(pushes, { redirect_uri: elsewhere }),
  await push(pushes, { resource: elsewhere }),
  await push(pushes, { request_uri: "urn:ietf:params:oauth:request_uri:x" }),
  await push(nobody),
  await push(both),
];
{
  const { asked, checks } = await begin();
  const url = client.buildAuthorizationUrl(pushes, asked);
  learnt.unpushed = await finish(await visit(url), pushes, checks).catch(refusal);
}
{
  const { asked, checks } = await begin({ prompt: "none" });
  const url = await client.buildAuthorizationUrlWithPAR(pushes, asked);
  learnt.silent = await finish(await visit(url), pushes, checks).catch(refusal);
}

// Signed.
{
  const { asked, checks } = await begin({
    scope: "openid offline_access",
    claims: JSON.stringify({ id_token: { email: { essential: true } } }),
    max_age: "3600",
  });
  asked.append("resource", op.issuer);
  asked.append("resource", op.resource);
  const url = await client.buildAuthorizationUrlWithJAR(signs, asked, key);
  url.searchParams.set("scope", "openid groups"); // somebody on its way
  url.searchParams.set("claims", "{}");
  const landed = await visit(url);
  const tokens = await finish(landed, signs, { ...checks, maxAge: 3600 });
  learnt.signed = tokens.claims();
  learnt.api = said(tokens.access_token);
}
const wrong = async (config, signing, options) => {
  const { asked, checks } = await begin();
  const url = await client.buildAuthorizationUrlWithJAR(config, asked, signing, options);
  url.searchParams.set("redirect_uri", op.redirect_uri);
  url.searchParams.set("state", checks.expectedState);
  const landed = await visit(url);
  return landed.page ?? finish(landed, config, checks).catch(refusal);
};
const changed = (more) => ({
  [client.modifyAssertion]: (_, claims) => Object.assign(claims, more),
});
learnt.wrong = [
  await wrong(signs, forged),
  await wrong(signs, key, changed({ exp: 1700000000 })),
  await wrong(signs, key, changed({ aud: elsewhere })),
  await wrong(signs, key, changed({ redirect_uri: elsewhere })),
];
{
  const { asked, checks } = await begin();
  const url = client.buildAuthorizationUrl(signs, asked);
  learnt.unsigned = await finish(await visit(url), signs, checks).catch(refusal);
}

// Signed, pushed, with a proof of the key that the tokens are for, and posted back.
const DPoP = client.getDPoPHandle(both, await client.randomDPoPKeyPair());
const sign = async (signing, more) => {
  const { asked, checks } = await begin(more);
  const url = await client.buildAuthorizationUrlWithJAR(both, asked, signing);
  return { asked: url.searchParams, checks };
};
{
  const { asked, checks } = await sign(key, { response_mode: "form_post" });
  const url = await client.buildAuthorizationUrlWithPAR(both, asked, { DPoP });
  const landed = await visit(url);
  const tokens = await finish(landed, both, checks, { DPoP });
  const { sub } = (learnt.both = tokens.claims());
  learnt.posted = Object.keys(landed.form).sort();
  learnt.bound = said(tokens.access_token).cnf;
  learnt.userinfo = await client.fetchUserInfo(both, tokens.access_token, sub, { DPoP });
}
learnt.forged = await client
  .buildAuthorizationUrlWithPAR(both, (await sign(forged)).asked)
  .catch(refusal);

// Without a browser: as itself, and for somebody whom others vouch for (RFC 7523).
const api = await discover("api", op.client_secret);
const { resource, assertion } = op;
const robot = await client.clientCredentialsGrant(both, { resource }, { DPoP });
learnt.robot = await client.tokenIntrospection(api, robot.access_token);
const vouch = () =>
  client.genericGrantRequest(
    both,
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
    { assertion, resource, scope: "email" },
    { DPoP },
  );
const vouched = await vouch();
learnt.vouched = await client.tokenIntrospection(api, vouched.access_token);
learnt.twice = await vouch().catch(refusal);
console.log(JSON.stringify(learnt));
lines.close();
