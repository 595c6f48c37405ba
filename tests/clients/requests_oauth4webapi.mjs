// Apps that push their requests (RFC 9126), sign them (RFC 9101), do both, and do
// without a browser, with oauth4webapi.  See run_app in conftest.py; the browser tells
// where it ended.
import * as oauth from "oauth4webapi";
import { createInterface } from "node:readline";

const op = JSON.parse(process.argv[2]);
const issuer = new URL(op.issuer);
const insecure = { [oauth.allowInsecureRequests]: true };
const server = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, insecure),
);
const es256 = { name: "ECDSA", namedCurve: "P-256" };
const key = {
  kid: op.key.kid,
  key: await crypto.subtle.importKey("jwk", op.key, es256, false, ["sign"]),
};
const forged = { kid: key.kid, key: (await oauth.generateKeyPair("ES256")).privateKey };
const secret = oauth.ClientSecretBasic(op.client_secret);
const pushes = { client: { client_id: "pushes" }, authentication: secret };
const signs = { client: { client_id: "signs" }, authentication: secret };
const both = {
  client: { client_id: "both" },
  authentication: oauth.PrivateKeyJwt(key),
};
both.DPoP = oauth.DPoP(both.client, await oauth.generateKeyPair("ES256"));

const lines = createInterface({ input: process.stdin });
const read = lines[Symbol.asyncIterator]();
const visit = async ({ client }, parameters) => {
  const url = new URL(server.authorization_endpoint);
  url.search = new URLSearchParams({ client_id: client.client_id, ...parameters });
  console.log(JSON.stringify({ url: url.href }));
  return JSON.parse((await read.next()).value);
};
// What the app remembers of a request, and the request.
const begin = async (more = {}) => {
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const nonce = oauth.generateRandomNonce();
  const asked = new URLSearchParams({
    response_type: "code",
    redirect_uri: op.redirect_uri,
    scope: "openid",
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state,
    nonce,
    ...more,
  });
  return { asked, verifier, state, nonce };
};
// Once more with the nonce, if the provider wants one (RFC 9449 section 8).
let nonces = 0;
const patiently = async (ask, process) => {
  try {
    return await process(await ask());
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    nonces += 1;
    return process(await ask());
  }
};
const push = async ({ client, authentication, DPoP }, asked) => {
  const { request_uri } = await patiently(
    () =>
      oauth.pushedAuthorizationRequest(server, client, authentication, asked, {
        ...insecure,
        DPoP,
      }),
    (answer) => oauth.processPushedAuthorizationResponse(server, client, answer),
  );
  return { request_uri };
};
const finish = async ({ client, authentication, DPoP }, landed, begun, maxAge) => {
  const came = Object.keys(landed.form).length
    ? new URLSearchParams(landed.form)
    : new URL(landed.url);
  const params = oauth.validateAuthResponse(server, client, came, begun.state);
  return patiently(
    () =>
      oauth.authorizationCodeGrantRequest(
        server,
        client,
        authentication,
        params,
        op.redirect_uri,
        begun.verifier,
        { ...insecure, DPoP },
      ),
    async (answer) => {
      const tokens = await oauth.processAuthorizationCodeResponse(
        server,
        client,
        answer,
        { expectedNonce: begun.nonce, requireIdToken: true, maxAge },
      );
      await oauth.validateApplicationLevelSignature(server, answer, insecure);
      return tokens;
    },
  );
};
const claims = oauth.getValidatedIdTokenClaims;
const said = (token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
// It shows the challenge of a 401, and keeps the body to itself.
const refusal = (error) =>
  error.error ?? (error.status === 401 ? "invalid_client" : `${error}`);
const learnt = {};

// Pushed.
{
  const begun = await begin({ scope: op.scopes });
  const reference = await push(pushes, begun.asked);
  learnt.carried = ["client_id", ...Object.keys(reference)];
  learnt.pushed = claims(await finish(pushes, await visit(pushes, reference), begun));
  learnt.again = (await visit(pushes, reference)).page;
}
const refused = async (app, more) => push(app, (await begin(more)).asked).catch(refusal);
const nobody = { ...pushes, authentication: oauth.ClientSecretPost("another-secret") };
const elsewhere = "https://elsewhere.example.com/";
learnt.refusals = [
  await refused(pushes, { scope: "openid nonsense" }),
  await refused(pushes, { redirect_uri: elsewhere }),
  await refused(pushes, { resource: elsewhere }),
  await refused(pushes, { request_uri: "urn:ietf:params:oauth:request_uri:x" }),
  await refused(nobody),
  await refused(both),
];
{
  const begun = await begin();
  const landed = await visit(pushes, Object.fromEntries(begun.asked));
  learnt.unpushed = await finish(pushes, landed, begun).catch(refusal);
}
{
  const begun = await begin({ prompt: "none" });
  const landed = await visit(pushes, await push(pushes, begun.asked));
  learnt.silent = await finish(pushes, landed, begun).catch(refusal);
}

// Signed.
const sign = async ({ client }, asked, signing = key, options = undefined) => ({
  request: await oauth.issueRequestObject(server, client, asked, signing, options),
});
{
  const begun = await begin({
    scope: "openid offline_access",
    claims: JSON.stringify({ id_token: { email: { essential: true } } }),
    max_age: "3600",
  });
  begun.asked.append("resource", op.issuer);
  begun.asked.append("resource", op.resource);
  const landed = await visit(signs, {
    ...(await sign(signs, begun.asked)),
    scope: "openid groups", // somebody on its way
    claims: "{}",
  });
  const tokens = await finish(signs, landed, begun, 3600);
  learnt.signed = claims(tokens);
  learnt.api = said(tokens.access_token);
}
const wrong = async (signing, change) => {
  const begun = await begin();
  const landed = await visit(signs, {
    ...(await sign(signs, begun.asked, signing, {
      [oauth.modifyAssertion]: (_, object) => Object.assign(object, change),
    })),
    redirect_uri: op.redirect_uri,
    state: begun.state,
  });
  return landed.page ?? finish(signs, landed, begun).catch(refusal);
};
learnt.wrong = [
  await wrong(forged),
  await wrong(key, { exp: 1700000000 }),
  await wrong(key, { aud: elsewhere }),
  await wrong(key, { redirect_uri: elsewhere }),
];
{
  const begun = await begin();
  const landed = await visit(signs, Object.fromEntries(begun.asked));
  learnt.unsigned = await finish(signs, landed, begun).catch(refusal);
}

// Signed, pushed, with a proof of the key that the tokens are for, and posted back.
{
  const begun = await begin({ response_mode: "form_post" });
  const reference = await push(both, await sign(both, begun.asked));
  const landed = await visit(both, reference);
  const tokens = await finish(both, landed, begun);
  learnt.both = claims(tokens);
  learnt.posted = Object.keys(landed.form).sort();
  learnt.bound = said(tokens.access_token).cnf;
  const { client, DPoP } = both;
  learnt.userinfo = await patiently(
    () =>
      oauth.userInfoRequest(server, client, tokens.access_token, { ...insecure, DPoP }),
    (answer) =>
      oauth.processUserInfoResponse(server, client, learnt.both.sub, answer),
  );
}
learnt.forged = await sign(both, (await begin()).asked, forged)
  .then((asked) => push(both, asked))
  .catch(refusal);

// Without a browser: as itself, and for somebody whom others vouch for (RFC 7523).
const api = { client_id: "api" };
const introspected = async ({ access_token }) =>
  oauth.processIntrospectionResponse(
    server,
    api,
    await oauth.introspectionRequest(server, api, secret, access_token, insecure),
  );
const { resource, assertion } = op;
const { client, authentication, DPoP } = both;
const proving = { ...insecure, DPoP };
const robot = await oauth.processClientCredentialsResponse(
  server,
  client,
  await oauth.clientCredentialsGrantRequest(
    server,
    client,
    authentication,
    { resource },
    proving,
  ),
);
learnt.robot = await introspected(robot);
const vouch = async () =>
  oauth.processGenericTokenEndpointResponse(
    server,
    client,
    await oauth.genericTokenEndpointRequest(
      server,
      client,
      authentication,
      "urn:ietf:params:oauth:grant-type:jwt-bearer",
      { assertion, resource, scope: "email" },
      proving,
    ),
  );
learnt.vouched = await introspected(await vouch());
learnt.twice = await vouch().catch(refusal);
learnt.nonces = nonces;
console.log(JSON.stringify(learnt));
lines.close();
