// A device, a robot and a gateway with oauth4webapi.  See run_node in conftest.py.
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

const codes = await oauth.processDeviceAuthorizationResponse(
  server,
  client,
  await oauth.deviceAuthorizationRequest(
    server,
    client,
    authentication,
    { scope: op.scopes },
    insecure,
  ),
);
const poll = () =>
  oauth.deviceCodeGrantRequest(
    server,
    client,
    authentication,
    codes.device_code,
    insecure,
  );
const told = async (response) =>
  oauth
    .processDeviceCodeResponse(server, client, response)
    .catch((error) => ({ error: error.error }));
const first = await told(await poll());
const second = await told(await poll());
console.log(JSON.stringify({ url: codes.verification_uri_complete }));
const lines = createInterface({ input: process.stdin });
await lines[Symbol.asyncIterator]().next();
lines.close();
const answer = await poll();
const tokens = await oauth.processDeviceCodeResponse(server, client, answer);
await oauth.validateApplicationLevelSignature(server, answer, insecure);
const again = (await told(await poll())).error;
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

const robot = await oauth.processClientCredentialsResponse(
  server,
  client,
  await oauth.clientCredentialsGrantRequest(
    server,
    client,
    authentication,
    { scope: "openid groups" },
    insecure,
  ),
);
const exchanged = await oauth.processGenericTokenEndpointResponse(
  server,
  client,
  await oauth.genericTokenEndpointRequest(
    server,
    client,
    authentication,
    "urn:ietf:params:oauth:grant-type:token-exchange",
    {
      connector_id: op.exchange_connector,
      subject_token: "a token of upstream",
      subject_token_type: "urn:ietf:params:oauth:token-type:access_token",
      scope: "openid email",
    },
    insecure,
  ),
);
const who = await oauth.processUserInfoResponse(
  server,
  client,
  oauth.skipSubjectCheck,
  await oauth.userInfoRequest(server, client, exchanged.access_token, insecure),
);
const password = await oauth.processGenericTokenEndpointResponse(
  server,
  client,
  await oauth.genericTokenEndpointRequest(
    server,
    client,
    authentication,
    "password",
    { username: op.email, password: op.password, scope: op.scopes },
    insecure,
  ),
);
console.log(
  JSON.stringify({
    claims: oauth.getValidatedIdTokenClaims(tokens),
    refreshed: oauth.getValidatedIdTokenClaims(refreshed),
    waiting: [first.error, second.error],
    again,
    robot: oauth.getValidatedIdTokenClaims(robot),
    password: oauth.getValidatedIdTokenClaims(password),
    who,
    issued: exchanged.issued_token_type,
  }),
);
