// An app with a key, of tokens for an API, with openid-client.  See run_node.
import * as client from "openid-client";
import { createInterface } from "node:readline";

const op = JSON.parse(process.argv[2]);
const config = await client.discovery(
  new URL(op.issuer),
  op.client_id,
  undefined,
  client.None(),
  { execute: [client.allowInsecureRequests] },
);
client.enableNonRepudiationChecks(config);
const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair());

// Pushed, the request proves the key that the code is for (RFC 9449 section 10.1).
const verifier = client.randomPKCECodeVerifier();
const state = client.randomState();
const asked = new URLSearchParams({
  redirect_uri: op.redirect_uri,
  scope: op.scopes,
  code_challenge: await client.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
  state,
});
asked.append("resource", op.issuer);
asked.append("resource", op.resource);
const url = await client.buildAuthorizationUrlWithPAR(config, asked, { DPoP });
console.log(JSON.stringify({ url: url.href }));
const lines = createInterface({ input: process.stdin });
const landing = (await lines[Symbol.asyncIterator]().next()).value;
lines.close();

const checks = { pkceCodeVerifier: verifier, expectedState: state };
const thief = client.getDPoPHandle(config, await client.randomDPoPKeyPair());
const stolen = await client
  .authorizationCodeGrant(config, new URL(landing), checks, undefined, { DPoP: thief })
  .catch((error) => error.error);
const tokens = await client.authorizationCodeGrant(
  config,
  new URL(landing),
  checks,
  undefined,
  { DPoP },
);
const { sub } = tokens.claims();
const userinfo = await client.fetchUserInfo(config, tokens.access_token, sub, { DPoP });
const refreshed = await client.refreshTokenGrant(
  config,
  tokens.refresh_token,
  { resource: op.resource },
  { DPoP },
);
const said = (token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
const refused = await client
  .fetchUserInfo(config, refreshed.access_token, sub, { DPoP })
  .catch((error) => error.cause?.[0]?.parameters?.error ?? error.code);
console.log(
  JSON.stringify({
    claims: tokens.claims(),
    userinfo,
    accepted: said(refreshed.access_token),
    stolen,
    refused,
    type: tokens.token_type,
  }),
);
