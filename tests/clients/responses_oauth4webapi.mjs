// An app that checks hybrid answers, refusals and the issuer, with oauth4webapi.
// See run_app in conftest.py; the browser tells where it landed and what it posted.
import * as oauth from "oauth4webapi";
import { createInterface } from "node:readline";

const op = JSON.parse(process.argv[2]);
const issuer = new URL(op.issuer);
const insecure = { [oauth.allowInsecureRequests]: true };
const client = { client_id: op.client_id };
const server = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, insecure),
);

const lines = createInterface({ input: process.stdin });
const read = lines[Symbol.asyncIterator]();
const ask = async (more) => {
  const url = new URL(server.authorization_endpoint);
  const asked = { state: oauth.generateRandomState(), nonce: oauth.generateRandomNonce() };
  url.search = new URLSearchParams({
    client_id: op.client_id,
    redirect_uri: op.redirect_uri,
    response_type: "code",
    scope: op.scopes,
    ...asked,
    ...more,
  });
  console.log(JSON.stringify({ url: url.href }));
  return { ...asked, ...JSON.parse((await read.next()).value) };
};

const learnt = { modes: server.response_modes_supported };
const hybrid = await ask({ response_type: "code id_token" });
const params = await oauth.validateCodeIdTokenResponse(
  server,
  client,
  new URL(hybrid.url),
  hybrid.nonce,
  hybrid.state,
  undefined,
  insecure,
);
learnt.code = params.has("code");

const posted = await ask({ response_type: "code id_token", response_mode: "form_post" });
const request = new Request(posted.url, {
  method: "POST",
  body: new URLSearchParams(posted.form),
});
const found = await oauth.validateCodeIdTokenResponse(
  server,
  client,
  request,
  posted.nonce,
  posted.state,
  undefined,
  insecure,
);
learnt.posted = found.has("code");

const silent = await ask({ prompt: "none" });
const check = (url) => {
  try {
    return oauth.validateAuthResponse(server, client, url, silent.state).get("code");
  } catch (error) {
    return error.error ?? error.message;
  }
};
learnt.silent = check(new URL(silent.url));
const forged = new URL(silent.url);
forged.searchParams.set("iss", "https://evil.example");
learnt.forged = check(forged);
forged.searchParams.delete("iss");
learnt.missing = check(forged);
console.log(JSON.stringify(learnt));
lines.close();
