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

// These pages are opened by the others, in a frame or a window.
const callbacks = {
  "/silent": () => manager.signinSilentCallback(),
  "/popup": () => manager.signinPopupCallback(),
  "/silent-out": () => manager.signoutSilentCallback(),
};
callbacks[location.pathname]?.();
