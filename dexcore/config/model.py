"""The configuration file, an attrs class per section.

Keys, defaults and meanings are dex's.  What is ours says so in its help.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

import attrs

from ..options import option
from ..storage import Client, Password

HOUR = timedelta(hours=1)
NEVER = timedelta(0)

GRANT_TYPES = (
    "authorization_code",
    "implicit",
    "password",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:token-exchange",
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
    grant_types: tuple[str, ...] = option((), help="Empty: all.")


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
    tls_min_version: str = option("", help="1.2 or 1.3.")
    tls_max_version: str = option("", help="1.2 or 1.3.")
    headers: Mapping[str, str] = option(factory=dict, help="Response headers.")
    allowed_origins: tuple[str, ...] = option((), help="CORS origins, or *.")
    allowed_headers: tuple[str, ...] = option(("Authorization",), help="CORS headers.")
    client_remote_ip: ClientRemoteIP = option(
        ClientRemoteIP(), key="clientRemoteIP", help="Behind a proxy: who the client is."
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
    enable_profiling: bool = option(False)


@attrs.frozen
class PKCEOptions:
    """``oauth2.pkce``."""

    enforce: bool = option(False, help="Refuse authorization requests without PKCE.")
    code_challenge_methods_supported: tuple[str, ...] = option(("S256", "plain"))


@attrs.frozen
class OAuth2:
    """``oauth2``."""

    grant_types: tuple[str, ...] = option(GRANT_TYPES)
    response_types: tuple[str, ...] = option(("code",))
    skip_approval_screen: bool = option(False)
    always_show_login_screen: bool = option(False)
    password_connector: str = option("")
    pkce: PKCEOptions = option(PKCEOptions(), key="pkce")


@attrs.frozen
class RefreshTokens:
    """``expiry.refreshTokens``; zero durations mean off, never."""

    disable_rotation: bool = option(False)
    reuse_interval: timedelta = option(NEVER)
    absolute_lifetime: timedelta = option(NEVER)
    valid_if_not_used_for: timedelta = option(NEVER)


@attrs.frozen
class Expiry:
    """``expiry``."""

    id_tokens: timedelta = option(24 * HOUR, key="idTokens")
    auth_requests: timedelta = option(24 * HOUR)
    device_requests: timedelta = option(timedelta(minutes=5))
    signing_keys: timedelta = option(6 * HOUR, help="Deprecated: see signer.")
    refresh_tokens: RefreshTokens = option(RefreshTokens())


@attrs.frozen
class Logger:
    """``logger``."""

    level: str = option("INFO")
    format: str = option("text")
    exclude_fields: tuple[str, ...] = option(())


@attrs.frozen
class GRPC:
    """``grpc``."""

    addr: str = option("")
    tls_cert: str = option("")
    tls_key: str = option("")
    tls_client_ca: str = option("", key="tlsClientCA")
    tls_min_version: str = option("")
    tls_max_version: str = option("")
    reflection: bool = option(False)


@attrs.frozen
class Sessions:
    """``sessions``."""

    cookie_name: str = option("dex_session")
    absolute_lifetime: timedelta = option(24 * HOUR)
    valid_if_not_used_for: timedelta = option(HOUR)
    remember_me_checked_by_default: bool = option(True)
    cookie_encryption_key: str = option("", secret=True)
    sso_shared_with_default: str = option("none", key="ssoSharedWithDefault")


@attrs.frozen
class AuthenticatorEntry:
    """One entry of ``mfa.authenticators``."""

    id: str = option()
    type: str = option()
    connector_types: tuple[str, ...] = option(())
    config: Mapping[str, Any] = option(factory=dict)


@attrs.frozen
class MFA:
    """``mfa``."""

    authenticators: tuple[AuthenticatorEntry, ...] = option(())
    default_mfa_chain: tuple[str, ...] = option((), key="defaultMFAChain")


@attrs.frozen
class Config:
    """The whole file.

    ``static_clients`` and ``static_passwords`` are records, resolved: environment
    variables read, hashes decoded.
    """

    issuer: str = option(help="The issuer identifier; a URL.")
    storage: Plugged = option(help="Where the state lives.")
    web: Web = option(Web())
    frontend: Frontend = option(Frontend())
    telemetry: Telemetry = option(Telemetry())
    oauth2: OAuth2 = option(OAuth2(), key="oauth2")
    grpc: GRPC = option(GRPC(), key="grpc")
    expiry: Expiry = option(Expiry())
    logger: Logger = option(Logger())
    signer: Plugged = option(Plugged("local"))
    sessions: Sessions | None = option(None)
    mfa: MFA = option(MFA(), key="mfa")
    connectors: tuple[ConnectorEntry, ...] = option(())
    static_clients: tuple[Client, ...] = option(())
    enable_password_db: bool = option(False, key="enablePasswordDB")
    static_passwords: tuple[Password, ...] = option(())
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
