// An app that registers itself with openid-client, logs in, changes what it is, and
// removes itself again.
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
const said = {
  client_name: "An app that nobody knows",
  redirect_uris: [op.redirect_uri],
  grant_types: ["authorization_code", "refresh_token"],
  ...op.registers,
};
const config = await client.dynamicClientRegistration(
  new URL(op.issuer),
  said,
  authentication,
  {
    execute: [client.allowInsecureRequests],
    initialAccessToken: op.initial_access_token,
  },
);

const verifier = client.randomPKCECodeVerifier();
const state = client.randomState();
const url = client.buildAuthorizationUrl(config, {
  redirect_uri: op.redirect_uri,
  scope: op.scopes,
  code_challenge: await client.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
  state,
});
console.log(JSON.stringify({ url: url.href }));
const lines = createInterface({ input: process.stdin });
const landing = (await lines[Symbol.asyncIterator]().next()).value;
lines.close();

client.enableNonRepudiationChecks(config);
const tokens = await client.authorizationCodeGrant(config, new URL(landing), {
  pkceCodeVerifier: verifier,
  expectedState: state,
});
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token);
const registered = config.clientMetadata();

// RFC 7592: the library has no words for it, but an access token and an address.
const manage = (method, body) =>
  client.fetchProtectedResource(
    config,
    registered.registration_access_token,
    new URL(registered.registration_client_uri),
    method,
    body && JSON.stringify(body),
    new Headers({ "Content-Type": "application/json" }),
  );
const read = await (await manage("GET")).json();
const { client_id, client_secret } = read;
const other = { ...said, client_id, client_secret, client_name: "Another name" };
const replaced = await (await manage("PUT", other)).json();
const changed = new client.Configuration(
  config.serverMetadata(),
  replaced.client_id,
  replaced,
  authentication ?? client.ClientSecretBasic(replaced.client_secret),
);
client.allowInsecureRequests(changed);
const renewed = await client.refreshTokenGrant(changed, refreshed.refresh_token);
const removed = await manage("DELETE");
// It shows the challenge of a 401, and keeps the body to itself.
const after = await client
  .refreshTokenGrant(changed, renewed.refresh_token)
  .catch((error) => (error.status === 401 ? "invalid_client" : error.error));
console.log(
  JSON.stringify({
    client: registered,
    claims: tokens.claims(),
    refreshed: refreshed.claims(),
    read,
    replaced,
    renewed: renewed.claims(),
    removed: removed.status,
    after,
  }),
);
