"""The records a storage keeps.

All are frozen: a change is a new record.  The first twelve are dex's own, field by
field, so that dex and dexcore can take turns on one database; the last ones are ours
and live where dex does not look.

Times are aware datetimes in UTC.  ``ZERO_TIME`` (year 1, Go's zero time) stands for
"not set"; a reader also treats the Unix epoch as not set.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from ..oauth2.client_metadata import NO_METADATA, ClientMetadata
from ..oauth2.extras import NO_EXTRAS, Extras
from ..oauth2.pkce import PKCE as PKCE  # a field of several records

ZERO_TIME = datetime(1, 1, 1, tzinfo=UTC)

_EMPTY: Mapping[str, Any] = {}
_NO_CHALLENGE = PKCE()


@attrs.frozen
class Claims:
    """The end user, as clients are told."""

    user_id: str = ""
    username: str = ""
    preferred_username: str = ""
    email: str = ""
    email_verified: bool = False
    groups: tuple[str, ...] = ()


# — dex's records ----------------------------------------------------------------------


@attrs.frozen
class ClientCredentialsClaims:
    """The claims of a client that logs in as itself."""

    groups: tuple[str, ...] = ()


@attrs.frozen
class Client:
    """A registered OAuth client.

    ``None`` and ``()`` differ where ``None`` is a default: ``mfa_chain`` and
    ``sso_shared_with`` are the server's default if ``None``, none at all if empty.
    """

    id: str
    secret: str = ""
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    backchannel_logout_uri: str = ""
    refresh_token_lifetime: str = ""
    trusted_peers: tuple[str, ...] = ()
    public: bool = False
    name: str = ""
    logo_url: str = ""
    allowed_connectors: tuple[str, ...] = ()
    mfa_chain: tuple[str, ...] | None = None
    sso_shared_with: tuple[str, ...] | None = None
    client_credentials_claims: ClientCredentialsClaims | None = None


@attrs.frozen
class DescribedClient(Client):
    """A client of which more is known than dex's record has place for.

    ``stranger``: it has said all of this itself, and nobody who runs this server has
    looked at it.
    """

    metadata: ClientMetadata = NO_METADATA
    stranger: bool = False


def is_stranger(client: Client) -> bool:
    """Return whether nobody but *client* itself has said who it is."""
    return isinstance(client, DescribedClient) and client.stranger


def metadata_of(client: Client) -> ClientMetadata:
    """Return what is known of *client* beyond dex's record."""
    return client.metadata if isinstance(client, DescribedClient) else NO_METADATA


@attrs.frozen
class AuthRequest:
    """An authorization request on its way to a code.  ``max_age`` -1: not sent."""

    id: str
    client_id: str
    response_types: tuple[str, ...] = ("code",)
    scopes: tuple[str, ...] = ()
    redirect_uri: str = ""
    nonce: str = ""
    state: str = ""
    force_approval_prompt: bool = False
    prompt: str = ""
    max_age: int = -1
    auth_time: datetime = ZERO_TIME
    expiry: datetime = ZERO_TIME
    logged_in: bool = False
    claims: Claims = Claims()
    connector_id: str = ""
    connector_data: bytes = b""
    pkce: PKCE = _NO_CHALLENGE
    hmac_key: bytes = b""
    mfa_validated: bool = False
    webauthn_session_data: bytes = b""


@attrs.frozen
class AuthCode:
    """An authorization code, single use.  ``session_id`` is the browser session's."""

    id: str
    client_id: str
    redirect_uri: str = ""
    nonce: str = ""
    scopes: tuple[str, ...] = ()
    connector_id: str = ""
    connector_data: bytes = b""
    claims: Claims = Claims()
    expiry: datetime = ZERO_TIME
    session_id: str = ""
    auth_time: datetime = ZERO_TIME
    pkce: PKCE = _NO_CHALLENGE


@attrs.frozen
class RefreshToken:
    """A refresh token: ``token`` is its secret, ``obsolete_token`` the one before."""

    id: str
    client_id: str
    token: str = ""
    obsolete_token: str = ""
    created_at: datetime = ZERO_TIME
    last_used: datetime = ZERO_TIME
    connector_id: str = ""
    connector_data: bytes = b""
    claims: Claims = Claims()
    scopes: tuple[str, ...] = ()
    nonce: str = ""


@attrs.frozen
class RefreshTokenRef:
    """What an offline session knows of a refresh token."""

    id: str
    client_id: str
    created_at: datetime = ZERO_TIME
    last_used: datetime = ZERO_TIME
    session_id: str = ""


@attrs.frozen
class OfflineSessions:
    """The refresh tokens of one user of one connector, by client id."""

    user_id: str
    conn_id: str
    refresh: Mapping[str, RefreshTokenRef] = _EMPTY
    connector_data: bytes = b""


@attrs.frozen
class Password:
    """A user of the password database.  ``email_verified`` ``None`` counts as true."""

    email: str
    hash: bytes = b""
    username: str = ""
    name: str = ""
    preferred_username: str = ""
    email_verified: bool | None = None
    user_id: str = ""
    groups: tuple[str, ...] = ()


@attrs.frozen
class Connector:
    """A configured connector.  ``config`` is a JSON document; no grant types: all."""

    id: str
    type: str = ""
    name: str = ""
    resource_version: str = ""
    config: bytes = b""
    grant_types: tuple[str, ...] = ()


@attrs.frozen
class VerificationKey:
    """A public key that may still verify tokens until ``expiry``.  A JWK as a dict."""

    public_key: Mapping[str, Any]
    expiry: datetime = ZERO_TIME


@attrs.frozen
class Keys:
    """The signing keys of the local signer: one record.  JWKs as dicts."""

    signing_key: Mapping[str, Any] | None = None
    signing_key_pub: Mapping[str, Any] | None = None
    verification_keys: tuple[VerificationKey, ...] = ()
    next_rotation: datetime = ZERO_TIME


@attrs.frozen
class DeviceRequest:
    """RFC 8628: what a device asked for, by the code its user types."""

    user_code: str
    device_code: str
    client_id: str = ""
    client_secret: str = ""
    scopes: tuple[str, ...] = ()
    expiry: datetime = ZERO_TIME


@attrs.frozen
class DeviceToken:
    """RFC 8628: what the device polls for.  ``poll_interval_seconds`` in seconds."""

    device_code: str
    status: str = ""
    token: str = ""
    expiry: datetime = ZERO_TIME
    last_request: datetime = ZERO_TIME
    poll_interval_seconds: int = 0
    pkce: PKCE = _NO_CHALLENGE


@attrs.frozen
class MFASecret:
    """A second factor that is a secret (TOTP)."""

    authenticator_id: str
    type: str = ""
    secret: str = ""
    confirmed: bool = False
    created_at: datetime = ZERO_TIME
    last_used_counter: int = 0


@attrs.frozen
class WebAuthnCredential:
    """A registered security key."""

    credential_id: bytes
    public_key: bytes = b""
    attestation_type: str = ""
    aaguid: bytes = b""
    sign_count: int = 0
    clone_warning: bool = False
    transport: tuple[str, ...] = ()
    backup_eligible: bool = False
    backup_state: bool = False
    display_name: str = ""
    created_at: datetime = ZERO_TIME


@attrs.frozen
class UserIdentity:
    """What we remember of an end user; consents are by client id."""

    user_id: str
    connector_id: str
    claims: Claims = Claims()
    consents: Mapping[str, tuple[str, ...]] = _EMPTY
    mfa_secrets: Mapping[str, MFASecret] = _EMPTY
    webauthn_credentials: Mapping[str, tuple[WebAuthnCredential, ...]] = _EMPTY
    created_at: datetime = ZERO_TIME
    last_login: datetime = ZERO_TIME
    blocked_until: datetime = ZERO_TIME


@attrs.frozen
class ClientAuthState:
    """One client's part in a browser session."""

    authenticated_at: datetime = ZERO_TIME
    last_activity: datetime = ZERO_TIME
    last_token_issued_at: datetime = ZERO_TIME
    via_sso: bool = False


@attrs.frozen
class LogoutState:
    """A logout that waits for the upstream provider."""

    post_logout_redirect_uri: str = ""
    state: str = ""
    client_id: str = ""
    connector_id: str = ""


@attrs.frozen
class AuthSession:
    """A browser session.  ``id`` is public (``sid``), ``secret`` only in the cookie."""

    id: str
    secret: str = ""
    user_id: str = ""
    connector_id: str = ""
    client_states: Mapping[str, ClientAuthState] = _EMPTY
    created_at: datetime = ZERO_TIME
    last_activity: datetime = ZERO_TIME
    ip_address: str = ""
    user_agent: str = ""
    absolute_expiry: datetime = ZERO_TIME
    idle_expiry: datetime = ZERO_TIME
    logout_state: LogoutState | None = None


# — Ours -------------------------------------------------------------------------------


@attrs.frozen
class SharedSecret:
    """A secret all replicas share, such as the key that seals cookies."""

    name: str
    value: bytes
    created_at: datetime = ZERO_TIME


@attrs.frozen
class UpcomingKey:
    """The key that signs after the next rotation: one record, named by its slot."""

    slot: str
    private_key: Mapping[str, Any]
    published_at: datetime


@attrs.frozen
class SpentCode:
    """A code that became tokens, kept so that a second use can revoke them.

    ``handle`` marks every token that came of it; ``refresh_id`` is the refresh token's,
    if there was one; ``pkce`` is set when the first use proved a verifier.
    """

    id: str
    client_id: str
    handle: str
    user_id: str = ""
    connector_id: str = ""
    refresh_id: str = ""
    pkce: PKCE = _NO_CHALLENGE
    expiry: datetime = ZERO_TIME


@attrs.frozen
class Revocation:
    """Tokens that no longer count before they expire.

    ``id`` sorts by time: Unix milliseconds as twelve hexadecimal digits, a dash, and
    what is revoked (a ``jti`` or a handle).
    """

    id: str
    expiry: datetime = ZERO_TIME


@attrs.frozen
class ParkedForm:
    """A form posted across sites, kept for the GET of ours that follows."""

    id: str
    fields: Mapping[str, str] = _EMPTY
    expiry: datetime = ZERO_TIME


@attrs.frozen
class Replay:
    """A message that must not be accepted twice, by its id."""

    id: str
    expiry: datetime = ZERO_TIME


@attrs.frozen
class Supplement:
    """What dex's record with the same id has no place for.

    The record is an authorization request, a code or a refresh token.
    """

    id: str
    extras: Extras = NO_EXTRAS
    expiry: datetime = ZERO_TIME


@attrs.frozen
class RegisteredClient:
    """What a client that has registered itself says, beside dex's record of it.

    ``metadata`` is its JSON document (RFC 7591 section 2); ``token_digest`` the SHA-256
    of its registration access token (RFC 7592), in hexadecimal; ``registrar`` names the
    initial access token it came with, if it came with one.
    """

    id: str
    metadata: Mapping[str, Any] = _EMPTY
    token_digest: str = ""
    registrar: str = ""
    created_at: datetime = ZERO_TIME
    expiry: datetime = ZERO_TIME
