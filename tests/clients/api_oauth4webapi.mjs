// An API that takes access tokens of RFC 9068, with oauth4webapi, and an app that has
// been told a password.  See run_app in conftest.py.
import * as oauth from "oauth4webapi";

const op = JSON.parse(process.argv[2]);
const insecure = { [oauth.allowInsecureRequests]: true };
const client = { client_id: op.client_id };
const issuer = new URL(op.issuer);
const server = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, insecure),
);
const tokens = await oauth.processGenericTokenEndpointResponse(
  server,
  client,
  await oauth.genericTokenEndpointRequest(
    server,
    client,
    oauth.ClientSecretPost(op.client_secret),
    "password",
    { username: op.email, password: op.password, scope: op.scopes },
    insecure,
  ),
);

const asked = (token) =>
  oauth
    .validateJwtAccessToken(
      server,
      new Request(op.redirect_uri, { headers: { authorization: `Bearer ${token}` } }),
      op.client_id,
      insecure,
    )
    .catch((error) => ({ refused: error.code }));
console.log(
  JSON.stringify({
    claims: oauth.getValidatedIdTokenClaims(tokens),
    scope: tokens.scope,
    api: await asked(tokens.access_token),
    mistaken: await asked(tokens.id_token),
  }),
);
