"""Records as dex's JSON documents, and back.

What dex's document of a record has no place for is in an annotation, which dex hands on
when it writes: that no second factor at all is asked of a client (to dex an empty list
is the server's default), the claims of a client of its own, and a user code that is not
in capitals.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

import attrs
import orjson

from dexcore.storage import StorageError, records
from dexcore.storage.codec import (
    DEX_NAMES,
    escape,
    json_codec,
    parse_time,
    record_codec,
)

from .resources import API_VERSION, Resource

R = TypeVar("R")

ANNOTATION = "dexcore/beside"

#: Field → key, in the order in which dex writes them.
_DOCUMENTS: Mapping[type, Mapping[str, str]] = {
    records.Client: {
        "id": "id,omitempty",
        "secret": "secret,omitempty",
        "redirect_uris": "redirectURIs,omitempty",
        "trusted_peers": "trustedPeers,omitempty",
        "public": "public",
        "name": "name,omitempty",
        "logo_url": "logoURL,omitempty",
        "allowed_connectors": "allowedConnectors,omitempty",
        "mfa_chain": "mfaChain",
        "post_logout_redirect_uris": "postLogoutRedirectURIs,omitempty",
        "sso_shared_with": "ssoSharedWith",
        "backchannel_logout_uri": "backchannelLogoutURI,omitempty",
        "refresh_token_lifetime": "refreshTokenLifetime,omitempty",
        "client_credentials_claims": "clientCredentialsClaims",
    },
    records.AuthRequest: {
        "client_id": "clientID",
        "response_types": "responseTypes,omitempty",
        "scopes": "scopes,omitempty",
        "redirect_uri": "redirectURI",
        "nonce": "nonce,omitempty",
        "state": "state,omitempty",
        "force_approval_prompt": "forceApprovalPrompt,omitempty",
        "logged_in": "loggedIn",
        "claims": "claims",
        "connector_id": "connectorID,omitempty",
        "connector_data": "connectorData,omitempty",
        "expiry": "expiry",
        "pkce": "pkce",
        "hmac_key": "hmac_key",
        "mfa_validated": "mfa_validated",
        "webauthn_session_data": "webauthn_session_data,omitempty",
        "prompt": "prompt,omitempty",
        "max_age": "maxAge",
        "auth_time": "authTime",
    },
    records.AuthCode: {
        "client_id": "clientID",
        "scopes": "scopes,omitempty",
        "redirect_uri": "redirectURI",
        "nonce": "nonce,omitempty",
        "claims": "claims",
        "connector_id": "connectorID,omitempty",
        "connector_data": "connectorData,omitempty",
        "expiry": "expiry",
        "pkce": "pkce",
        "auth_time": "authTime",
        "session_id": "sessionID,omitempty",
    },
    records.RefreshToken: {
        "created_at": "CreatedAt",
        "last_used": "LastUsed",
        "client_id": "clientID",
        "scopes": "scopes,omitempty",
        "token": "token,omitempty",
        "obsolete_token": "obsoleteToken,omitempty",
        "nonce": "nonce,omitempty",
        "claims": "claims",
        "connector_id": "connectorID,omitempty",
        "connector_data": "connectorData,omitempty",
    },
    records.Password: {
        "email": "email,omitempty",
        "hash": "hash,omitempty",
        "username": "username,omitempty",
        "name": "name,omitempty",
        "preferred_username": "preferredUsername,omitempty",
        "email_verified": "emailVerified",
        "user_id": "userID,omitempty",
        "groups": "groups,omitempty",
    },
    records.Keys: {
        "signing_key": "signingKey,omitempty",
        "signing_key_pub": "signingKeyPub,omitempty",
        "verification_keys": "verificationKeys,omitempty",
        "next_rotation": "nextRotation",
    },
    records.OfflineSessions: {
        "user_id": "userID,omitempty",
        "conn_id": "connID,omitempty",
        "refresh": "refresh,omitempty",
        "connector_data": "connectorData,omitempty",
    },
    records.Connector: {
        "id": "id,omitempty",
        "type": "type,omitempty",
        "name": "name,omitempty",
        "config": "config,omitempty",
        "grant_types": "grantTypes,omitempty",
    },
    records.DeviceRequest: {
        "device_code": "device_code,omitempty",
        "client_id": "client_id,omitempty",
        "client_secret": "client_secret,omitempty",
        "scopes": "scopes,omitempty",
        "expiry": "expiry",
    },
    records.DeviceToken: {
        "status": "status,omitempty",
        "token": "token,omitempty",
        "expiry": "expiry",
        "last_request": "last_request",
        "poll_interval_seconds": "poll_interval",
        "pkce": "pkce",
    },
    records.UserIdentity: {
        "user_id": "userID,omitempty",
        "connector_id": "connectorID,omitempty",
        "claims": "claims",
        "consents": "consents,omitempty",
        "mfa_secrets": "mfaSecrets,omitempty",
        "webauthn_credentials": "webauthnCredentials,omitempty",
        "created_at": "createdAt",
        "last_login": "lastLogin",
        "blocked_until": "blockedUntil",
    },
    records.AuthSession: {
        "user_id": "userID,omitempty",
        "connector_id": "connectorID,omitempty",
        "secret": "secret,omitempty",
        "client_states": "clientStates,omitempty",
        "created_at": "createdAt",
        "last_activity": "lastActivity",
        "ip_address": "ipAddress,omitempty",
        "user_agent": "userAgent,omitempty",
        "absolute_expiry": "absoluteExpiry",
        "idle_expiry": "idleExpiry",
        "logout_state": "logoutState,omitempty",
    },
}

_INSIDE = {
    **DEX_NAMES,
    records.Claims: {
        "user_id": "userID",
        "preferred_username": "preferredUsername",
        "email_verified": "emailVerified",
        "groups": "groups,omitempty",
    },
    records.PKCE: {
        "code_challenge": "code_challenge,omitempty",
        "code_challenge_method": "code_challenge_method,omitempty",
    },
}

#: Fields of ours whose names are what every object calls something else.
_TAKEN = {"metadata": "client_metadata"}

#: Left out if null: Go leaves out nil, but not false or an empty list behind it.
_NO_NULL = ("emailVerified", "mfaChain", "clientCredentialsClaims")
_PKCE = ("code_challenge", "code_challenge_method")

#: The members of a JWK in dex's order; the API server sorts them by name.
_JWK = (
    *("use", "kty", "kid", "crv", "alg", "k", "x", "y"),
    *("n", "e", "d", "p", "q", "dp", "dq", "qi"),
    *("x5c", "x5u", "x5t", "x5t#S256"),
)


@attrs.frozen
class Stored(Generic[R]):
    """A record and the object it was read from."""

    record: R
    body: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of the object."""
        return str(self.body["metadata"]["name"])

    @property
    def uid(self) -> str:
        """The id of the object, which another one of the same name does not have."""
        return str(self.body["metadata"]["uid"])

    @property
    def version(self) -> str:
        """The version of the object, another one after each change."""
        return str(self.body["metadata"]["resourceVersion"])


class Documents(Generic[R]):
    """Writes and reads the objects of one resource."""

    def __init__(self, resource: Resource[R], namespace: str) -> None:
        self._resource = resource
        self._namespace = namespace
        record: type[Any] = resource.kind.record
        keys = _DOCUMENTS.get(record)
        # How a field of a record of ours is called in its object.
        self._own = {key: _TAKEN.get(key, key) for key in attrs.fields_dict(record)}
        if keys is None:
            self._codec = record_codec(resource.kind)
            self._order: tuple[str, ...] = tuple(self._own.values())
            self._expiry = resource.kind.expiry
        else:
            self._codec = json_codec(record, {**_INSIDE, record: keys})
            self._order = tuple(_flat(keys))
            self._expiry = tuple(
                keys[field].partition(",")[0] for field in resource.kind.expiry
            )

    def new(self, record: R, name: str) -> bytes:
        """Return the document of a new object."""
        document, beside = self._document(record, name)
        metadata: dict[str, Any] = {"name": name, "namespace": self._namespace}
        if beside:
            metadata["annotations"] = {ANNOTATION: _text(beside)}
        return _json(
            {
                "kind": self._resource.type,
                "apiVersion": API_VERSION,
                "metadata": metadata,
                **document,
            }
        )

    def changed(self, stored: Stored[R], record: R) -> bytes:
        """Return the document of a changed object: what others added stays."""
        document, beside = self._document(record, stored.name)
        metadata = {**stored.body["metadata"]}
        annotations = {**(metadata.pop("annotations", None) or {})}
        annotations.pop(ANNOTATION, None)
        if beside:
            annotations[ANNOTATION] = _text(beside)
        if annotations:
            metadata["annotations"] = annotations
        others = {
            key: value
            for key, value in stored.body.items()
            if key not in self._order and key not in ("kind", "apiVersion", "metadata")
        }
        return _json(
            {
                "kind": self._resource.type,
                "apiVersion": API_VERSION,
                "metadata": metadata,
                **document,
                **others,
            }
        )

    def read(self, body: Mapping[str, Any]) -> Stored[R]:
        """Return the record of an object; raise ``StorageError``."""
        try:
            return Stored(self._codec.decode(orjson.dumps(self._plain(body))), body)
        except (KeyError, TypeError, ValueError) as error:
            name = (body.get("metadata") or {}).get("name")
            raise StorageError(
                f"The {self._resource.type} {name!r} cannot be read: {error}"
            ) from error

    def has_expired(self, body: Mapping[str, Any], now: datetime) -> bool:
        """Return whether the record of an object expired before *now*."""
        try:
            times = [parse_time(body[key]) for key in self._expiry]
        except (KeyError, TypeError, ValueError):
            return False  # whatever it is, it is not ours to throw away
        return min(times) < now

    def _document(self, record: R, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        kind = self._resource.kind
        if kind.folded:
            folded = dict(zip(kind.key, kind.key_of(record), strict=True))
            whole: Any = attrs.evolve(record, **folded)  # type: ignore[misc]
            record = whole
        plain = orjson.loads(self._codec.encode(record))
        if kind.own:
            plain = {self._own[field]: value for field, value in plain.items()}
        else:
            plain.update(plain.pop("pkce", {}))
        for key in _NO_NULL:
            if key in plain and plain[key] is None:
                del plain[key]
        document = {key: plain[key] for key in self._order if key in plain}
        return document, _beside(document, record, name)

    def _plain(self, body: Mapping[str, Any]) -> dict[str, Any]:
        metadata = body["metadata"]
        record = self._resource.kind.record
        if self._resource.kind.own:
            plain = {f: body[key] for f, key in self._own.items() if key in body}
            if record is records.UpcomingKey:
                plain["private_key"] = _jwk(plain["private_key"])
            return plain
        plain = {key: body[key] for key in self._order if key in body}
        plain["pkce"] = {key: body[key] for key in _PKCE if key in body}
        plain.update(_missing(record, metadata))
        for key, value in _besides(metadata).items():
            plain.setdefault(key, value)
        if record is records.AuthRequest:
            plain.setdefault("responseTypes", None)  # none, rather than our default
        if record is records.DeviceRequest:
            plain["user_code"] = plain.get("userCode") or metadata["name"].upper()
        if record is records.Keys:
            _order_keys(plain)
        return plain


def _flat(keys: Mapping[str, str]) -> list[str]:
    """Return the keys of a document, those of the challenge where dex has them."""
    flat: list[str] = []
    for key in keys.values():
        name = key.partition(",")[0]
        flat.extend(_PKCE if name == "pkce" else [name])
    return flat


def _beside(document: dict[str, Any], record: Any, name: str) -> dict[str, Any]:
    """Take from *document* what dex has no place for, and return it."""
    beside = {}
    if isinstance(record, records.Client):
        if "clientCredentialsClaims" in document:
            beside["clientCredentialsClaims"] = document.pop("clientCredentialsClaims")
        if document.get("mfaChain") == []:
            beside["mfaChain"] = document.pop("mfaChain")
    if isinstance(record, records.DeviceRequest) and record.user_code != name.upper():
        beside["userCode"] = record.user_code
    return beside


def _besides(metadata: Mapping[str, Any]) -> dict[str, Any]:
    text = (metadata.get("annotations") or {}).get(ANNOTATION)
    return dict(orjson.loads(text)) if text else {}


def _missing(record: type[Any], metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields that are not in the document but in the metadata."""
    if record is records.Connector:
        return {"resource_version": metadata["resourceVersion"]}
    if record is records.DeviceToken:
        return {"device_code": metadata["name"]}
    if "id" in _DOCUMENTS[record] or record is records.DeviceRequest:
        return {}
    return {"id": metadata["name"]} if "id" in attrs.fields_dict(record) else {}


def _order_keys(plain: dict[str, Any]) -> None:
    for key in ("signingKey", "signingKeyPub"):
        if plain.get(key):
            plain[key] = _jwk(plain[key])
    for one in plain.get("verificationKeys") or ():
        if one.get("publicKey"):
            one["publicKey"] = _jwk(one["publicKey"])


def _jwk(jwk: Mapping[str, Any]) -> dict[str, Any]:
    known = {member: jwk[member] for member in _JWK if member in jwk}
    return {**known, **jwk}


def _text(beside: Mapping[str, Any]) -> str:
    return orjson.dumps(beside).decode()


def _json(document: Mapping[str, Any]) -> bytes:
    return escape(orjson.dumps(document))
