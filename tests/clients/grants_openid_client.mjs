// A device, a robot and a gateway with openid-client.  See run_node in conftest.py.
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

const verifier = client.randomPKCECodeVerifier();
const codes = await client.initiateDeviceAuthorization(config, {
  scope: op.scopes,
  code_challenge: await client.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
});
console.log(JSON.stringify({ url: codes.verification_uri_complete }));
const lines = createInterface({ input: process.stdin });
await lines[Symbol.asyncIterator]().next();
lines.close();
const tokens = await client.pollDeviceAuthorizationGrant(config, codes, {
  code_verifier: verifier,
});
const again = await client
  .pollDeviceAuthorizationGrant(config, codes, { code_verifier: verifier })
  .catch((error) => error.error);
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token);

const robot = await client.clientCredentialsGrant(config, { scope: "openid groups" });
const exchanged = await client.genericGrantRequest(
  config,
  "urn:ietf:params:oauth:grant-type:token-exchange",
  {
    connector_id: op.exchange_connector,
    subject_token: "a token of upstream",
    subject_token_type: "urn:ietf:params:oauth:token-type:access_token",
    scope: "openid email",
  },
);
const who = await client.fetchUserInfo(
  config,
  exchanged.access_token,
  client.skipSubjectCheck,
);
const password = await client.genericGrantRequest(config, "password", {
  username: op.email,
  password: op.password,
  scope: op.scopes,
});
console.log(
  JSON.stringify({
    claims: tokens.claims(),
    refreshed: refreshed.claims(),
    again,
    robot: robot.claims(),
    password: password.claims(),
    who,
    issued: exchanged.issued_token_type,
  }),
);
