// An app that registers itself with oauth4webapi, logs in, changes what it is, and
// removes itself again.
import * as oauth from "oauth4webapi";
import { createInterface } from "node:readline";

const op = JSON.parse(process.argv[2]);
const issuer = new URL(op.issuer);
const insecure = { [oauth.allowInsecureRequests]: true };
const server = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, insecure),
);

const said = {
  client_name: "An app that nobody knows",
  redirect_uris: [op.redirect_uri],
  grant_types: ["authorization_code", "refresh_token"],
  ...op.registers,
};
const client = await oauth.processDynamicClientRegistrationResponse(
  await oauth.dynamicClientRegistrationRequest(
    server,
    said,
    { initialAccessToken: op.initial_access_token, ...insecure },
  ),
);
const es256 = { name: "ECDSA", namedCurve: "P-256" };
const authentication = op.key
  ? oauth.PrivateKeyJwt({
      kid: op.key.kid,
      key: await crypto.subtle.importKey("jwk", op.key, es256, false, ["sign"]),
    })
  : oauth.ClientSecretBasic(client.client_secret);

const verifier = oauth.generateRandomCodeVerifier();
const state = oauth.generateRandomState();
const url = new URL(server.authorization_endpoint);
url.search = new URLSearchParams({
  client_id: client.client_id,
  redirect_uri: op.redirect_uri,
  response_type: "code",
  scope: op.scopes,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
  state,
});
console.log(JSON.stringify({ url: url.href }));
const lines = createInterface({ input: process.stdin });
const landing = (await lines[Symbol.asyncIterator]().next()).value;
lines.close();

const answer = await oauth.authorizationCodeGrantRequest(
  server,
  client,
  authentication,
  oauth.validateAuthResponse(server, client, new URL(landing), state),
  op.redirect_uri,
  verifier,
  insecure,
);
const tokens = await oauth.processAuthorizationCodeResponse(server, client, answer);
const refresh = (proof, token) =>
  oauth.refreshTokenGrantRequest(server, client, proof, token, insecure);
const refreshed = await oauth.processRefreshTokenResponse(
  server,
  client,
  await refresh(authentication, tokens.refresh_token),
);

// RFC 7592: the library has no words for it, but an access token and an address.
const manage = (method, body) =>
  oauth.protectedResourceRequest(
    client.registration_access_token,
    method,
    new URL(client.registration_client_uri),
    new Headers({ "Content-Type": "application/json" }),
    body && JSON.stringify(body),
    insecure,
  );
const read = await (await manage("GET")).json();
const { client_id, client_secret } = read;
const other = { ...said, client_id, client_secret, client_name: "Another name" };
const replaced = await (await manage("PUT", other)).json();
const changed = op.key ? authentication : oauth.ClientSecretBasic(replaced.client_secret);
const renewed = await oauth.processRefreshTokenResponse(
  server,
  client,
  await refresh(changed, refreshed.refresh_token),
);
const removed = await manage("DELETE");
const after = await refresh(changed, renewed.refresh_token);
console.log(
  JSON.stringify({
    client,
    claims: oauth.getValidatedIdTokenClaims(tokens),
    refreshed: oauth.getValidatedIdTokenClaims(refreshed),
    read,
    replaced,
    renewed: oauth.getValidatedIdTokenClaims(renewed),
    removed: removed.status,
    after: (await after.json()).error,
  }),
);
