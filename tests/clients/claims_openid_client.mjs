// An app that asks for single claims with openid-client.  See run_app in conftest.py.
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
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function logIn(asked) {
  const verifier = client.randomPKCECodeVerifier();
  const state = client.randomState();
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: op.redirect_uri,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state,
    ...asked,
  });
  console.log(JSON.stringify({ url: url.href }));
  const landing = new URL((await lines.next()).value);
  return client.authorizationCodeGrant(config, landing, {
    pkceCodeVerifier: verifier,
    expectedState: state,
  });
}

const tokens = await logIn({
  scope: "openid offline_access",
  acr_values: "platinum gold",
  claims: JSON.stringify({
    id_token: { email: null, auth_time: { essential: true } },
    userinfo: { given_name: { essential: true }, address: null },
  }),
});
const claims = tokens.claims();
const userinfo = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token);
const refused = await logIn({
  scope: "openid",
  claims: JSON.stringify({
    id_token: { acr: { essential: true, values: ["platinum"] } },
  }),
}).catch((error) => error.error);
const somebody = await logIn({
  scope: "openid",
  claims: JSON.stringify({ id_token: { sub: { value: "somebody else" } } }),
}).catch((error) => error.error);
console.log(
  JSON.stringify({
    claims,
    userinfo,
    refreshed: refreshed.claims(),
    refused,
    somebody,
  }),
);
process.stdin.destroy();
