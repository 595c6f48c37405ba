// An app with a key, of tokens for an API, with oauth4webapi.  See run_node.
import * as oauth from "oauth4webapi";
import { createInterface } from "node:readline";

const op = JSON.parse(process.argv[2]);
const issuer = new URL(op.issuer);
const insecure = { [oauth.allowInsecureRequests]: true };
const client = { client_id: op.client_id };
const authentication = oauth.None();
const server = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, insecure),
);
const algorithm = "ES256";
const DPoP = oauth.DPoP(client, await oauth.generateKeyPair(algorithm));
const proving = { ...insecure, DPoP };

// Once more with the nonce, if the provider wants one (RFC 9449 section 8).
const nonces = [];
const patiently = async (ask, process) => {
  try {
    return await process(await ask());
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    nonces.push(error.error ?? error.cause[0].parameters.error);
    return process(await ask());
  }
};

const verifier = oauth.generateRandomCodeVerifier();
const state = oauth.generateRandomState();
const url = new URL(server.authorization_endpoint);
url.search = new URLSearchParams([
  ["client_id", op.client_id],
  ["redirect_uri", op.redirect_uri],
  ["response_type", "code"],
  ["scope", op.scopes],
  ["code_challenge", await oauth.calculatePKCECodeChallenge(verifier)],
  ["code_challenge_method", "S256"],
  ["dpop_jkt", await DPoP.calculateThumbprint()],
  ["state", state],
  ["resource", op.issuer],
  ["resource", op.resource],
]);
console.log(JSON.stringify({ url: url.href }));
const lines = createInterface({ input: process.stdin });
const landing = (await lines[Symbol.asyncIterator]().next()).value;
lines.close();
const params = oauth.validateAuthResponse(server, client, new URL(landing), state);

const tokens = await patiently(
  () =>
    oauth.authorizationCodeGrantRequest(
      server,
      client,
      authentication,
      params,
      op.redirect_uri,
      verifier,
      proving,
    ),
  (answer) =>
    oauth.processAuthorizationCodeResponse(server, client, answer, {
      requireIdToken: true,
    }),
);
const claims = oauth.getValidatedIdTokenClaims(tokens);
const userinfo = await patiently(
  () => oauth.userInfoRequest(server, client, tokens.access_token, proving),
  (answer) => oauth.processUserInfoResponse(server, client, claims.sub, answer),
);
const refreshed = await patiently(
  () =>
    oauth.refreshTokenGrantRequest(
      server,
      client,
      authentication,
      tokens.refresh_token,
      { ...proving, additionalParameters: { resource: op.resource } },
    ),
  (answer) => oauth.processRefreshTokenResponse(server, client, answer),
);

// What an API does with the token, on its side (RFC 9068 section 4, RFC 9449).
const request = new Request(op.resource, {
  headers: { authorization: `DPoP ${refreshed.access_token}` },
});
const key = await oauth.generateKeyPair(algorithm);
const thief = oauth.DPoP(client, key);
const shown = async (handle) => {
  const headers = new Headers(request.headers);
  await handle.addProof(new URL(op.resource), headers, "GET", refreshed.access_token);
  return oauth.validateJwtAccessToken(
    server,
    new Request(op.resource, { headers }),
    op.resource,
    { ...insecure, requireDPoP: true },
  );
};
const accepted = await shown(DPoP);
const stolen = await shown(thief).catch((error) => error.code ?? error.name);
console.log(
  JSON.stringify({ claims, userinfo, accepted, stolen, nonces, type: tokens.token_type }),
);
