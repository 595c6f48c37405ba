// An app that registers itself with oauth4webapi, logs in, and removes itself again.
import * as oauth from "oauth4webapi";
import { createInterface } from "node:readline";

const op = JSON.parse(process.argv[2]);
const issuer = new URL(op.issuer);
const insecure = { [oauth.allowInsecureRequests]: true };
const server = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, insecure),
);

const client = await oauth.processDynamicClientRegistrationResponse(
  await oauth.dynamicClientRegistrationRequest(
    server,
    {
      client_name: "An app that nobody knows",
      redirect_uris: [op.redirect_uri],
      grant_types: ["authorization_code", "refresh_token"],
      ...op.registers,
    },
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
const refresh = () =>
  oauth.refreshTokenGrantRequest(
    server,
    client,
    authentication,
    tokens.refresh_token,
    insecure,
  );
const refreshed = await oauth.processRefreshTokenResponse(
  server,
  client,
  await refresh(),
);
const removed = await fetch(client.registration_client_uri, {
  method: "DELETE",
  headers: { Authorization: `Bearer ${client.registration_access_token}` },
});
console.log(
  JSON.stringify({
    client,
    claims: oauth.getValidatedIdTokenClaims(tokens),
    refreshed: oauth.getValidatedIdTokenClaims(refreshed),
    removed: removed.status,
    after: (await (await refresh()).json()).error,
  }),
);
