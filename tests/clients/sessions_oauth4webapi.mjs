// An app that renews a login silently, logs out, and hears of logouts by the back
// channel, with oauth4webapi and jose.  See run_app in conftest.py.
import { createRemoteJWKSet, jwtVerify } from "jose";
import { once } from "node:events";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import * as oauth from "oauth4webapi";

const op = JSON.parse(process.argv[2]);
const issuer = new URL(op.issuer);
const insecure = { [oauth.allowInsecureRequests]: true };
const client = { client_id: op.client_id };
const authentication = oauth.ClientSecretBasic(op.client_secret);
const server = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, insecure),
);
const keys = createRemoteJWKSet(new URL(server.jwks_uri));

// OpenID Connect Back-Channel Logout section 2.6.
const EVENT = "http://schemas.openid.net/event/backchannel-logout";
const validate = async (token) => {
  const { payload } = await jwtVerify(token, keys, {
    issuer: server.issuer,
    audience: op.client_id,
    typ: "logout+jwt",
    requiredClaims: ["iat", "exp", "jti", "events"],
  });
  if (!payload.sub && !payload.sid) throw new Error("nobody is meant");
  if (typeof payload.events[EVENT] !== "object") throw new Error("no logout");
  if ("nonce" in payload) throw new Error("it may be an ID token");
  return payload;
};
let tell;
const told = new Promise((resolve) => (tell = resolve));
const site = createServer(async (request, response) => {
  const form = new URLSearchParams(await text(request));
  const found = await validate(form.get("logout_token")).catch((error) => {
    return { error: String(error) };
  });
  response.writeHead(found.error ? 400 : 200).end();
  tell({ ...found, path: request.url, method: request.method });
});
site.listen(Number(new URL(op.redirect_uri).port), "127.0.0.1");
await once(site, "listening");

const lines = createInterface({ input: process.stdin });
const read = lines[Symbol.asyncIterator]();
const visit = async (endpoint, parameters) => {
  const url = new URL(endpoint);
  url.search = new URLSearchParams(parameters);
  console.log(JSON.stringify({ url: url.href }));
  return new URL((await read.next()).value);
};
const logIn = async (more = {}, maxAge = undefined) => {
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const nonce = oauth.generateRandomNonce();
  const landing = await visit(server.authorization_endpoint, {
    client_id: op.client_id,
    redirect_uri: op.redirect_uri,
    response_type: "code",
    scope: "openid email",
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state,
    nonce,
    ...more,
  });
  return await oauth.processAuthorizationCodeResponse(
    server,
    client,
    await oauth.authorizationCodeGrantRequest(
      server,
      client,
      authentication,
      oauth.validateAuthResponse(server, client, landing, state),
      op.redirect_uri,
      verifier,
      insecure,
    ),
    { expectedNonce: nonce, requireIdToken: true, maxAge },
  );
};
const claims = oauth.getValidatedIdTokenClaims;

const first = await logIn();
const silent = await logIn({ prompt: "none", id_token_hint: first.id_token });
const fresh = await logIn({ max_age: "3600" }, 3600);
const again = await logIn({ max_age: "0" }, 0);
const bye = await visit(server.end_session_endpoint, {
  id_token_hint: again.id_token,
  post_logout_redirect_uri: `${op.redirect_uri}/bye`,
  state: "see you",
});
const heard = await told;
const after = await logIn({ prompt: "none" }).catch((error) => error.error);
lines.close();
site.close();
site.closeAllConnections();
console.log(
  JSON.stringify({
    first: claims(first),
    silent: claims(silent),
    fresh: claims(fresh),
    again: claims(again),
    bye: bye.href,
    heard,
    after,
  }),
);
