// An app without a server of its own, with oidc-client-ts.  ISSUER is said by its page.
const here = location.origin;
const settings = {
  authority: ISSUER,
  client_id: "spa",
  scope: "openid email profile",
  redirect_uri: here + "/in",
  silent_redirect_uri: here + "/silent",
  popup_redirect_uri: here + "/popup",
  post_logout_redirect_uri: here + "/out",
  popup_post_logout_redirect_uri: here + "/silent-out",
  includeIdTokenInSilentSignout: true,
  loadUserInfo: true,
};
const manager = new oidc.UserManager({ ...settings, automaticSilentRenew: false });

// With a refresh token it needs no frame, which browsers may keep cookies from.
const refreshing = new oidc.UserManager({
  ...settings,
  scope: "openid email profile offline_access",
  userStore: new oidc.WebStorageStateStore({
    store: sessionStorage,
    prefix: "refreshing.",
  }),
});

// It watches whether its user is still logged in.
const watching = new oidc.UserManager({
  ...settings,
  automaticSilentRenew: false,
  monitorSession: true,
  userStore: new oidc.WebStorageStateStore({
    store: sessionStorage,
    prefix: "watching.",
  }),
  checkSessionIntervalInSeconds: 1,
});

// It proves a key that no script can read (RFC 9449), and has tokens for an API (RFC 8707).
const proving = new oidc.UserManager({
  ...settings,
  scope: "openid offline_access",
  response_mode: "fragment",
  resource: [ISSUER, "https://api.example.com/"],
  dpop: { bind_authorization_code: true, store: new oidc.IndexedDbDPoPStore() },
  loadUserInfo: false, // it would bring no proof
  automaticSilentRenew: false,
  includeIdTokenInSilentRenew: true,
  userStore: new oidc.WebStorageStateStore({ store: sessionStorage, prefix: "proving." }),
});
// What it brings itself: once more with the nonce, if the provider wants one.
async function userinfo(user, nonce) {
  const url = ISSUER + "/userinfo";
  const answer = await fetch(url, {
    headers: {
      Authorization: `${user.token_type} ${user.access_token}`,
      DPoP: await proving.dpopProof(url, user, "GET", nonce),
    },
  });
  const wanted = answer.headers.get("DPoP-Nonce");
  return answer.status === 401 && !nonce ? userinfo(user, wanted) : answer.json();
}

// With oauth4webapi: its request does not go by the browser (RFC 9126).
async function push() {
  const oauth = await import("/oauth4webapi.js");
  const insecure = { [oauth.allowInsecureRequests]: true };
  const issuer = new URL(ISSUER);
  const server = await oauth.processDiscoveryResponse(
    issuer,
    await oauth.discoveryRequest(issuer, insecure),
  );
  const client = { client_id: "spa" };
  const with_key = {
    ...insecure,
    DPoP: oauth.DPoP(client, await oauth.generateKeyPair("ES256")),
  };
  const patiently = (ask) =>
    ask().catch((error) => {
      if (!oauth.isDPoPNonceError(error)) throw error;
      return ask();
    });
  const verifier = oauth.generateRandomCodeVerifier();
  const asked = {
    response_type: "code",
    redirect_uri: settings.redirect_uri,
    scope: "openid email",
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  };
  const none = oauth.None();
  const { request_uri } = await patiently(async () =>
    oauth.processPushedAuthorizationResponse(
      server,
      client,
      await oauth.pushedAuthorizationRequest(server, client, none, asked, with_key),
    ),
  );
  window.trade = async (landing) => {
    const params = oauth.validateAuthResponse(server, client, new URL(landing));
    return oauth.processAuthorizationCodeResponse(
      server,
      client,
      await oauth.authorizationCodeGrantRequest(
        server,
        client,
        none,
        params,
        settings.redirect_uri,
        verifier,
        with_key,
      ),
    );
  };
  window.refusal = async (token) => {
    const answer = await oauth.userInfoRequest(server, client, token, insecure);
    const anybody = oauth.skipSubjectCheck;
    return oauth
      .processUserInfoResponse(server, client, anybody, answer)
      .catch((error) => error.cause[0]?.parameters ?? { error: `${error}` });
  };
  const url = new URL(server.authorization_endpoint);
  url.search = new URLSearchParams({ ...client, request_uri });
  return { url: url.href };
}

// These pages are opened by the others, in a frame or a window.
const callbacks = {
  "/silent": () => manager.signinSilentCallback(),
  "/popup": () => manager.signinPopupCallback(),
  "/silent-out": () => manager.signoutSilentCallback(),
};
callbacks[location.pathname]?.();
