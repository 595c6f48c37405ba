"""The configuration file, an attrs class per section.

Keys, defaults and meanings are dex's.  What is ours says so in its help.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

import attrs

from ..jose import ALGORITHMS
from ..oauth2.client_metadata import NO_METADATA, ClientMetadata
from ..options import option
from ..storage import Client, ClientCredentialsClaims, Password

HOUR = timedelta(hours=1)
NEVER = timedelta(0)

GRANT_TYPES = (
    "authorization_code",
    "implicit",
    "password",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:token-exchange",
    # Ours; off as long as no issuer is trusted.
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
)
CLIENT_CREDENTIALS = "client_credentials"
RESPONSE_TYPES = (
    "code",
    "token",
    "id_token",
    "code token",
    "code id_token",
    "id_token token",
    "code id_token token",
)
CODE_CHALLENGE_METHODS = ("S256", "plain")
TLS_VERSIONS = ("1.2", "1.3")
#: The only response headers dex knows, in their spelling.
HEADERS = (
    "Content-Security-Policy",
    "X-Frame-Options",
    "X-Content-Type-Options",
    "X-XSS-Protection",
    "Strict-Transport-Security",
)


@attrs.frozen
class Plugged:
    """A ``type`` and its ``config``, which the plugin's own class structures later."""

    type: str = option("", help="Which plugin.")
    config: Mapping[str, Any] = option(
        factory=dict, help="The plugin's own options; environment variables expand."
    )


@attrs.frozen
class ConnectorEntry:
    """One entry of ``connectors``."""

    type: str = option(help="Which plugin.")
    id: str = option(help="Part of every subject: do not change it.")
    name: str = option(help="What the login page shows.")
    config: Mapping[str, Any] = option(
        factory=dict, help="The plugin's own options; environment variables expand."
    )
    grant_types: tuple[str, ...] = option(
        (), choices=GRANT_TYPES, help="The grants it may be used with; empty: all."
    )


@attrs.frozen
class ClientRemoteIP:
    """``web.clientRemoteIP``."""

    header: str = option("", help="The header a trusted proxy writes.")
    trusted_proxies: tuple[str, ...] = option((), help="CIDR ranges.")


@attrs.frozen
class Web:
    """``web``."""

    http: str = option("", help="host:port to serve HTTP on.")
    https: str = option("", help="host:port to serve HTTPS on.")
    tls_cert: str = option("", help="PEM file of the certificate chain.")
    tls_key: str = option("", help="PEM file of the private key.")
    tls_min_version: str = option(
        "", choices=TLS_VERSIONS, help="1.2 or 1.3; without it 1.2."
    )
    tls_max_version: str = option(
        "", choices=TLS_VERSIONS, help="1.2 or 1.3; without it the newest there is."
    )
    headers: Mapping[str, str] = option(
        factory=dict,
        choices=HEADERS,
        help="Response headers, from a fixed list; empty: not sent.",
    )
    allowed_origins: tuple[str, ...] = option((), help="CORS origins, or *.")
    allowed_headers: tuple[str, ...] = option(("Authorization",), help="CORS headers.")
    client_remote_ip: ClientRemoteIP = option(
        ClientRemoteIP(),
        key="clientRemoteIP",
        help="Behind a proxy: who the client is.",
    )


@attrs.frozen
class Frontend:
    """``frontend``."""

    dir: str = option("", help="A folder of templates, themes and static files.")
    theme: str = option("light", help="light, dark, or a folder under themes/.")
    issuer: str = option("dex", help="The name pages show.")
    logo_url: str = option("", key="logoURL", help="The logo pages show.")
    extra: Mapping[str, str] = option(factory=dict, help="Values for templates.")


@attrs.frozen
class Telemetry:
    """``telemetry``."""

    http: str = option("", help="host:port of metrics and health.")
    enable_profiling: bool = option(False, help="Serve profiles there.")


@attrs.frozen
class PKCEOptions:
    """``oauth2.pkce``."""

    enforce: bool = option(False, help="Refuse authorization requests without PKCE.")
    code_challenge_methods_supported: tuple[str, ...] = option(
        CODE_CHALLENGE_METHODS,
        choices=CODE_CHALLENGE_METHODS,
        help="S256 and plain; plain protects little.",
    )


@attrs.frozen
class DPoPOptions:
    """``oauth2.dpop`` (RFC 9449).  Ours."""

    require_nonce: bool = option(
        False, help="Whether proofs must have a nonce of ours, not just the time."
    )


@attrs.frozen
class TrustedIssuer:
    """One entry of ``oauth2.jwtBearer.trustedIssuers``.  Ours."""

    issuer: str = option(help="The iss of its assertions, to the letter.")
    connector_id: str = option(
        key="connectorID",
        help="The id of the connector whose users it speaks of: part of subjects.",
    )
    jwks: Mapping[str, Any] = option(
        factory=dict, key="jwks", help="Its public keys, a JWK set."
    )
    jwks_uri: str = option(
        "",
        key="jwksURI",
        help="Where they are published; without both its discovery document says.",
    )
    algorithms: tuple[str, ...] = option(
        tuple(ALGORITHMS), choices=tuple(ALGORITHMS), help="What it may sign with."
    )
    assertions: tuple[str, ...] = option(
        ("id-jag",),
        choices=("id-jag", "jwt"),
        help="id-jag: for one client, as its header says; jwt: any of RFC 7523.",
    )
    clients: tuple[str, ...] | None = option(
        None, help="The ids of clients that may bring them; absent: all."
    )
    allowed_groups: tuple[str, ...] = option(
        (), help="The user must be in one of these, by the groups claim; empty: any."
    )
    max_lifetime: timedelta = option(
        timedelta(minutes=5), help="How old an assertion may be, or become."
    )


@attrs.frozen
class JWTBearer:
    """``oauth2.jwtBearer`` (RFC 7523 section 2.1).  Ours."""

    trusted_issuers: tuple[TrustedIssuer, ...] = option(
        (), help="Whose assertions become tokens; empty: the grant is off."
    )


@attrs.frozen
class OAuth2:
    """``oauth2``."""

    grant_types: tuple[str, ...] = option(
        GRANT_TYPES,
        choices=(*GRANT_TYPES, CLIENT_CREDENTIALS),
        help="The grants clients may use; implicit also needs a response type that "
        "carries a token, password also passwordConnector.",
    )
    response_types: tuple[str, ...] = option(
        ("code",),
        choices=RESPONSE_TYPES,
        help="What an authorization request may ask for; list code, token, id_token.",
    )
    skip_approval_screen: bool = option(
        False, help="Do not ask end users whether a client may know them."
    )
    always_show_login_screen: bool = option(
        False, help="Show the list of connectors even if there is only one."
    )
    password_connector: str = option(
        "", help="The id of the connector that checks the password grant."
    )
    pkce: PKCEOptions = option(PKCEOptions(), key="pkce", help="RFC 7636.")
    require_pushed_authorization_requests: bool = option(
        False,
        help="Ours: accept only authorization requests that were pushed (RFC 9126).",
    )
    jwt_bearer: JWTBearer = option(
        JWTBearer(), key="jwtBearer", help="Ours: tokens for assertions (RFC 7523)."
    )
    dpop: DPoPOptions = option(DPoPOptions(), key="dpop", help="Ours: RFC 9449.")


@attrs.frozen
class RefreshTokens:
    """``expiry.refreshTokens``; zero durations mean off, never."""

    disable_rotation: bool = option(
        False, help="Let a refresh token stay the same when it is used."
    )
    reuse_interval: timedelta = option(
        NEVER, help="How long the token before still works; 0: not at all."
    )
    absolute_lifetime: timedelta = option(
        NEVER, help="How long after the login refreshing ends; 0: never."
    )
    valid_if_not_used_for: timedelta = option(
        NEVER, help="How long unused until a token ends; 0: never."
    )


@attrs.frozen
class Expiry:
    """``expiry``."""

    id_tokens: timedelta = option(
        24 * HOUR, key="idTokens", help="How long ID tokens and access tokens live."
    )
    auth_requests: timedelta = option(
        24 * HOUR, help="How long a login may take; 0: the default."
    )
    device_requests: timedelta = option(
        timedelta(minutes=5), help="How long a device code lives; 0: the default."
    )
    signing_keys: timedelta = option(
        6 * HOUR,
        help="Deprecated, for files without signer: how often the signing key changes.",
    )
    refresh_tokens: RefreshTokens = option(
        RefreshTokens(), help="When refresh tokens end."
    )


@attrs.frozen
class Logger:
    """``logger``."""

    level: str = option(
        "INFO",
        choices=("DEBUG", "INFO", "WARN", "ERROR"),
        help="DEBUG, INFO, WARN or ERROR, in any case, also with +n or -n.",
    )
    format: str = option("text", choices=("text", "json"), help="text or json.")
    exclude_fields: tuple[str, ...] = option(
        (), help="Attributes to leave out of every log line, such as email."
    )


@attrs.frozen
class GRPC:
    """``grpc``."""

    addr: str = option("", help="host:port to serve the gRPC API on.")
    tls_cert: str = option("", help="PEM file of the certificate chain.")
    tls_key: str = option("", help="PEM file of the private key.")
    tls_client_ca: str = option(
        "", key="tlsClientCA", help="PEM file of the CA every client must show."
    )
    tls_min_version: str = option(
        "", choices=TLS_VERSIONS, help="1.2 or 1.3; without it 1.2."
    )
    tls_max_version: str = option(
        "", choices=TLS_VERSIONS, help="1.2 or 1.3; without it the newest there is."
    )
    reflection: bool = option(False, help="Describe the API to who asks.")


@attrs.frozen
class Sessions:
    """``sessions``."""

    cookie_name: str = option("dex_session", help="The name of the session cookie.")
    absolute_lifetime: timedelta = option(
        24 * HOUR, help="How long after the login a session ends."
    )
    valid_if_not_used_for: timedelta = option(
        HOUR, help="How long unused until a session ends."
    )
    remember_me_checked_by_default: bool = option(
        True, help="Whether the box on the login page is ticked."
    )
    cookie_encryption_key: str = option(
        "", secret=True, help="16, 24 or 32 bytes; empty: not encrypted."
    )
    sso_shared_with_default: str = option(
        "none",
        key="ssoSharedWithDefault",
        choices=("none", "all"),
        help="Which clients share a login if they do not say: none or all.",
    )
    private_backchannel: bool = option(
        False,
        help="Ours: announce logouts at private addresses also to clients that the "
        "file does not name.",
    )
    frontchannel_logout_uris: Mapping[str, str] = option(
        factory=dict,
        key="frontchannelLogoutURIs",
        help="Ours: by client id, the addresses that log out when a frame loads them.",
    )


@attrs.frozen
class Registration:
    """``registration``: clients that nobody has entered into this file."""

    enabled: bool = option(False, help="Ours: let clients register themselves.")
    initial_access_tokens: tuple[str, ...] = option(
        (), secret=True, help="Ours: whoever has one of these may register clients."
    )
    open: bool = option(False, help="Ours: everybody may register clients.")
    grant_types: tuple[str, ...] = option(
        ("authorization_code", "refresh_token"),
        choices=(*GRANT_TYPES, CLIENT_CREDENTIALS),
        help="Ours: the grants such clients may use.",
    )
    scopes: tuple[str, ...] = option(
        ("openid", "email", "profile", "groups", "offline_access"),
        help="Ours: the scopes they may ask for.",
    )
    redirect_uri_schemes: tuple[str, ...] = option(
        ("https", "http"),
        key="redirectURISchemes",
        help="Ours: how their redirect URIs may begin; http is for the loopback only.",
    )
    clients_per_token: int = option(
        100, help="Ours: the clients there may be of one initial access token."
    )
    max_clients: int = option(
        1000, help="Ours: the clients there may be that have registered themselves."
    )
    client_lifetime: timedelta = option(
        NEVER, help="Ours: how long a registration lasts; 0: until it is deleted."
    )
    client_id_metadata_documents: bool = option(
        False,
        key="clientIDMetadataDocuments",
        help="Ours: accept clients whose id is the https address of a document about "
        "them.",
    )
    private_addresses: bool = option(
        False,
        help="Ours: fetch keys and documents of such clients from private addresses, "
        "and from our own machine without TLS.",
    )


@attrs.frozen
class AuthenticatorEntry:
    """One entry of ``mfa.authenticators``."""

    id: str = option(help="How chains name it; also kept with every enrolment.")
    type: str = option(help="Which plugin: TOTP, WebAuthn.")
    connector_types: tuple[str, ...] = option(
        (), help="The connector types whose logins it is asked after; empty: all."
    )
    config: Mapping[str, Any] = option(factory=dict, help="The plugin's own options.")


@attrs.frozen
class MFA:
    """``mfa``."""

    authenticators: tuple[AuthenticatorEntry, ...] = option(
        (), help="The second factors there are."
    )
    default_mfa_chain: tuple[str, ...] = option(
        (),
        key="defaultMFAChain",
        help="The ids asked for, in order, for clients without mfaChain.",
    )


@attrs.frozen
class Resource:
    """One entry of ``resources``: an API that tokens can be for (RFC 8707).  Ours."""

    id: str = option(help="Its URI: what clients ask for, and the aud of its tokens.")
    name: str = option("", help="What the approval page calls it; empty: its id.")
    clients: tuple[str, ...] | None = option(
        None, help="The ids of clients that may ask for it; absent: all."
    )
    scopes: tuple[str, ...] | None = option(
        None, help="The scopes its tokens may carry; absent: all that were granted."
    )
    token_lifetime: timedelta = option(
        NEVER, help="How long its tokens live; 0: as long as the others."
    )
    servers: tuple[str, ...] = option(
        (), help="The ids of clients that are this API, and may introspect its tokens."
    )


@attrs.frozen
class SubjectOptions:
    """``subjects``."""

    default: str = option(
        "dex",
        choices=("dex", "plain", "claim:email", "pairwise", "hashed"),
        help="The sub of clients that do not say: dex, plain, claim:<name>, pairwise, "
        "hashed.",
    )
    previous: tuple[str, ...] = option(
        (), help="What default was before; still understood where a client names one."
    )
    salt: str = option(
        "",
        secret=True,
        help="What pairwise and hashed ones depend on; never change it; without it a "
        "secret of the storage.",
    )
    salt_env: str = option("", help="The environment variable with it.")


@attrs.frozen
class StaticClient:
    """One entry of ``staticClients``, as the file writes it."""

    id: str = option("", help="The client_id.")
    id_env: str = option("", help="The environment variable with the client_id.")
    secret: str = option("", secret=True, help="The client_secret.")
    secret_env: str = option(
        "", help="The environment variable with the client_secret."
    )
    redirect_uris: tuple[str, ...] = option(
        (), key="redirectURIs", help="Where codes may be sent, to the letter."
    )
    post_logout_redirect_uris: tuple[str, ...] = option(
        (),
        key="postLogoutRedirectURIs",
        help="Where the browser may go after a logout, to the letter.",
    )
    backchannel_logout_uri: str = option(
        "", key="backchannelLogoutURI", help="Where logouts are announced."
    )
    refresh_token_lifetime: str = option(
        "",
        choices=("standalone", "session"),
        help="standalone, or session: refresh tokens end with the browser session.",
    )
    trusted_peers: tuple[str, ...] = option(
        (), help="The ids of clients that may ask for tokens for this one."
    )
    public: bool = option(
        False, help="A client that cannot keep a secret: an app, a script."
    )
    name: str = option("", help="What the approval page shows.")
    logo_url: str = option("", key="logoURL", help="A picture of it.")
    allowed_connectors: tuple[str, ...] = option(
        (), help="The ids of connectors its users may come through; empty: all."
    )
    mfa_chain: tuple[str, ...] | None = option(
        None,
        help="The ids of second factors, in order; absent: mfa.defaultMFAChain; "
        "empty: none.",
    )
    sso_shared_with: tuple[str, ...] | None = option(
        None,
        help='The ids of clients that share its logins; "*": all; absent: '
        "sessions.ssoSharedWithDefault; empty: none.",
    )
    client_credentials_claims: ClientCredentialsClaims | None = option(
        None, help="The claims of the client when it logs in as itself."
    )
    metadata: ClientMetadata = option(
        NO_METADATA,
        help="Ours: what else is known of it, under the names of RFC 7591.",
    )


@attrs.frozen
class StaticPassword:
    """One entry of ``staticPasswords``, as the file writes it."""

    email: str = option("", help="What the end user logs in with; case is ignored.")
    hash: str = option(
        "",
        secret=True,
        help="A bcrypt hash, or the base64 of one; also argon2id.",
    )
    hash_from_env: str = option("", help="The environment variable with the hash.")
    username: str = option("", help="The name claim, unless name is set.")
    name: str = option("", help="The name claim.")
    preferred_username: str = option("", help="The preferred_username claim.")
    email_verified: bool | None = option(
        None, help="The email_verified claim; true unless set."
    )
    user_id: str = option(
        "", key="userID", help="Part of the subject: unique, and never changed."
    )
    groups: tuple[str, ...] = option((), help="The groups claim.")


@attrs.frozen
class Config:
    """The whole file.

    ``static_clients`` and ``static_passwords`` are records, resolved: environment
    variables read, hashes decoded.
    """

    issuer: str = option(help="The issuer identifier: the URL clients know.")
    storage: Plugged = option(help="Where the state lives.")
    web: Web = option(Web(), help="The web server.")
    frontend: Frontend = option(Frontend(), help="What pages look like.")
    telemetry: Telemetry = option(Telemetry(), help="Metrics and health, apart.")
    oauth2: OAuth2 = option(OAuth2(), key="oauth2", help="What clients may do.")
    grpc: GRPC = option(GRPC(), key="grpc", help="The API for administration.")
    expiry: Expiry = option(Expiry(), help="How long things live.")
    logger: Logger = option(Logger(), help="The log.")
    signer: Plugged = option(
        Plugged("local"), help="Who signs tokens; without it local keys, RS256."
    )
    sessions: Sessions | None = option(
        None, help="Browser sessions; also on with DEX_SESSIONS_ENABLED=true."
    )
    mfa: MFA = option(MFA(), key="mfa", help="Second factors; needs sessions.")
    registration: Registration = option(
        Registration(), help="Ours: clients that are not in this file."
    )
    connectors: tuple[ConnectorEntry, ...] = option(
        (), help="The upstream identity providers."
    )
    static_clients: tuple[Client, ...] = option((), help="The clients of this file.")
    resources: tuple[Resource, ...] = option(
        (), help="Ours: the APIs that tokens can be for (RFC 8707)."
    )
    subjects: SubjectOptions = option(
        SubjectOptions(), help="Ours: as whom clients know an end user."
    )
    enable_password_db: bool = option(
        False,
        key="enablePasswordDB",
        help="Let people log in with a password kept in the storage.",
    )
    static_passwords: tuple[Password, ...] = option(
        (), help="The users of this file; needs enablePasswordDB."
    )
    enable_signup: bool = option(False, help="Ours: let strangers sign up.")
    signup: tuple[Plugged, ...] = option(
        (Plugged("default"),), help="Ours: the sign-up plugins, in order."
    )
    compat: Literal["dex", "strict"] = option(
        "dex",
        help="Ours: dex accepts what working clients may need; strict follows the "
        "specifications to the letter.",
    )
    plugins: tuple[str, ...] = option(
        (), help="Ours: extensions to load (claims, templates)."
    )
