// An app that asks for single claims with oauth4webapi.  See run_app in conftest.py.
import * as oauth from "oauth4webapi";
import { createInterface } from "node:readline";

const op = JSON.parse(process.argv[2]);
const issuer = new URL(op.issuer);
const insecure = { [oauth.allowInsecureRequests]: true };
const client = { client_id: op.client_id };
const authentication = oauth.ClientSecretBasic(op.client_secret);
const server = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, insecure),
);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function logIn(asked) {
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const url = new URL(server.authorization_endpoint);
  url.search = new URLSearchParams({
    client_id: op.client_id,
    redirect_uri: op.redirect_uri,
    response_type: "code",
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state,
    ...asked,
  });
  console.log(JSON.stringify({ url: url.href }));
  const landing = new URL((await lines.next()).value);
  const params = oauth.validateAuthResponse(server, client, landing, state);
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
    requireIdToken: true,
  });
  await oauth.validateApplicationLevelSignature(server, answer, insecure);
  return tokens;
}

const tokens = await logIn({
  scope: "openid offline_access",
  acr_values: "platinum gold",
  claims: JSON.stringify({
    id_token: { email: null, auth_time: { essential: true } },
    userinfo: { given_name: { essential: true }, address: null },
  }),
});
const claims = oauth.getValidatedIdTokenClaims(tokens);
const userinfo = await oauth.processUserInfoResponse(
  server,
  client,
  claims.sub,
  await oauth.userInfoRequest(server, client, tokens.access_token, insecure),
);
const refreshed = await oauth.processRefreshTokenResponse(
  server,
  client,
  await oauth.refreshTokenGrantRequest(
    server,
    client,
    authentication,
    tokens.refresh_token,
    insecure,
  ),
);
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
    refreshed: oauth.getValidatedIdTokenClaims(refreshed),
    refused,
    somebody,
  }),
);
process.stdin.destroy();
