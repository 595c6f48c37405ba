// An app that logs in with openid-client.  See run_node in conftest.py.
import * as client from "openid-client";
import { createInterface } from "node:readline";

const op = JSON.parse(process.argv[2]);
const es256 = { name: "ECDSA", namedCurve: "P-256" };
const authentication = op.key
  ? client.PrivateKeyJwt({
      kid: op.key.kid,
      key: await crypto.subtle.importKey("jwk", op.key, es256, false, ["sign"]),
    })
  : undefined;
const config = await client.discovery(
  new URL(op.issuer),
  op.client_id,
  op.client_secret,
  authentication,
  { execute: [client.allowInsecureRequests] },
);

// With PKCE, which its metadata names, the library's own example sends no state.
const verifier = client.randomPKCECodeVerifier();
const nonce = client.randomNonce();
const url = client.buildAuthorizationUrl(config, {
  redirect_uri: op.redirect_uri,
  scope: op.scopes,
  code_challenge: await client.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
  nonce,
});
console.log(JSON.stringify({ url: url.href }));

const lines = createInterface({ input: process.stdin });
const landing = (await lines[Symbol.asyncIterator]().next()).value;
lines.close();

// Verifies iss, aud, nonce, expiry and, as asked for here, the signature.
client.enableNonRepudiationChecks(config);
const tokens = await client.authorizationCodeGrant(config, new URL(landing), {
  pkceCodeVerifier: verifier,
  expectedNonce: nonce,
});
const claims = tokens.claims();
const userinfo = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token);
const introspection = await client.tokenIntrospection(config, refreshed.access_token);
await client.tokenRevocation(config, refreshed.refresh_token);
const after = await client
  .refreshTokenGrant(config, refreshed.refresh_token)
  .catch((error) => error.error);
console.log(
  JSON.stringify({
    claims,
    userinfo,
    refreshed: refreshed.claims(),
    rotated: refreshed.refresh_token !== tokens.refresh_token,
    introspection,
    after,
  }),
);
