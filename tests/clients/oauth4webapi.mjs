// An app that logs in with oauth4webapi.  See run_node in conftest.py.
import * as oauth from "oauth4webapi";
import { createInterface } from "node:readline";

const op = JSON.parse(process.argv[2]);
const issuer = new URL(op.issuer);
const insecure = { [oauth.allowInsecureRequests]: true };
const client = { client_id: op.client_id };
const es256 = { name: "ECDSA", namedCurve: "P-256" };
const authentication = op.key
  ? oauth.PrivateKeyJwt({
      kid: op.key.kid,
      key: await crypto.subtle.importKey("jwk", op.key, es256, false, ["sign"]),
    })
  : oauth.ClientSecretBasic(op.client_secret);
const server = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, insecure),
);

const verifier = oauth.generateRandomCodeVerifier();
const state = oauth.generateRandomState();
const nonce = oauth.generateRandomNonce();
const url = new URL(server.authorization_endpoint);
url.search = new URLSearchParams({
  client_id: op.client_id,
  redirect_uri: op.redirect_uri,
  response_type: "code",
  scope: op.scopes,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
  state,
  nonce,
});
console.log(JSON.stringify({ url: url.href }));

const lines = createInterface({ input: process.stdin });
const landing = (await lines[Symbol.asyncIterator]().next()).value;
lines.close();

const params = oauth.validateAuthResponse(server, client, new URL(landing), state);
const answer = await oauth.authorizationCodeGrantRequest(
  server,
  client,
  authentication,
  params,
  op.redirect_uri,
  verifier,
  insecure,
);
const tokens = await oauth.processAuthorizationCodeResponse(server, client, answer, {
  expectedNonce: nonce,
  requireIdToken: true,
});
await oauth.validateApplicationLevelSignature(server, answer, insecure);
const claims = oauth.getValidatedIdTokenClaims(tokens);

const userinfo = await oauth.processUserInfoResponse(
  server,
  client,
  claims.sub,
  await oauth.userInfoRequest(server, client, tokens.access_token, insecure),
);
const again = await oauth.refreshTokenGrantRequest(
  server,
  client,
  authentication,
  tokens.refresh_token,
  insecure,
);
const refreshed = await oauth.processRefreshTokenResponse(server, client, again);
await oauth.validateApplicationLevelSignature(server, again, insecure);
const introspection = await oauth.processIntrospectionResponse(
  server,
  client,
  await oauth.introspectionRequest(
    server,
    client,
    authentication,
    refreshed.access_token,
    insecure,
  ),
);
await oauth.processRevocationResponse(
  await oauth.revocationRequest(
    server,
    client,
    authentication,
    refreshed.refresh_token,
    insecure,
  ),
);
const refused = await oauth.refreshTokenGrantRequest(
  server,
  client,
  authentication,
  refreshed.refresh_token,
  insecure,
);
console.log(
  JSON.stringify({
    claims,
    userinfo,
    refreshed: oauth.getValidatedIdTokenClaims(refreshed),
    rotated: refreshed.refresh_token !== tokens.refresh_token,
    introspection,
    after: (await refused.json()).error,
  }),
);
