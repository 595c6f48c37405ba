"""dex's JSON of each kind, to the byte: its names, its order, what it leaves out.

Each document is a class made from a list of members, in the order of dex's Go structs.
A member is the JSON name, ``=`` and the field if that is called otherwise, ``?`` where
Go leaves out what is empty (``omitempty``).  A member without a field is one of dex's
that our records do not have; it keeps what dex wrote.
"""

from __future__ import annotations

import typing

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, Generic, TypeVar

import attrs
import orjson

from dexcore.storage import (
    PKCE,
    Claims,
    ClientCredentialsClaims,
    Kind,
    StorageError,
    VerificationKey,
)
from dexcore.storage.codec import (
    DEX_NAMES,
    JSONCodec,
    Names,
    escape,
    json_codec,
    parse_time,
    record_codec,
)

R = TypeVar("R")

_CHALLENGE = "code_challenge=pkce.code_challenge? code_challenge_method=pkce.code_challenge_method?"  # noqa: E501

MEMBERS: Mapping[str, str] = {
    "client": """
        id idEnv= secret secretEnv= redirectURIs=redirect_uris
        postLogoutRedirectURIs=post_logout_redirect_uris
        backchannelLogoutURI=backchannel_logout_uri
        refreshTokenLifetime=refresh_token_lifetime trustedPeers=trusted_peers public
        name logoURL=logo_url allowedConnectors=allowed_connectors mfaChain=mfa_chain
        ssoSharedWith=sso_shared_with
        clientCredentialsClaims=client_credentials_claims?""",
    "auth_request": f"""
        id client_id response_types scopes redirect_uri nonce state
        force_approval_prompt expiry logged_in claims connector_id connector_data
        {_CHALLENGE} hmac_key mfa_validated webauthn_session_data? prompt? max_age
        auth_time""",
    "auth_code": f"""
        ID=id clientID=client_id redirectURI=redirect_uri nonce? scopes?
        connectorID=connector_id? connectorData=connector_data? claims expiry
        {_CHALLENGE} auth_time session_id?""",
    "refresh_token": """
        id token obsolete_token created_at last_used client_id connector_id
        connector_data claims scopes nonce""",
    "password": """
        email hash hashFromEnv= username name preferredUsername=preferred_username
        emailVerified=email_verified? userID=user_id groups""",
    "keys": """
        SigningKey=signing_key SigningKeyPub=signing_key_pub
        VerificationKeys=verification_keys NextRotation=next_rotation""",
    "offline_session": """
        user_id? conn_id? refresh? connectorData=connector_data?""",
    # dex's struct has the tag of an email on the configuration.
    "connector": """
        id type name resourceVersion=resource_version email=config
        grantTypes=grant_types?""",
    "device_request": "user_code device_code client_id client_secret scopes expiry",
    "device_token": f"""
        device_code status token expiry last_request
        poll_interval=poll_interval_seconds {_CHALLENGE}""",
    "user_identity": """
        user_id? connector_id? claims consents? mfa_secrets? webauthn_credentials?
        created_at last_login blocked_until""",
    "auth_session": """
        id secret? user_id? connector_id? client_states? created_at last_activity
        ip_address? user_agent? absolute_expiry idle_expiry logout_state?""",
}

#: The names inside the documents.
NAMES: Names = {
    **DEX_NAMES,
    Claims: {
        "user_id": "userID",
        "preferred_username": "preferredUsername",
        "email_verified": "emailVerified",
        "groups": "groups,omitempty",
    },
    ClientCredentialsClaims: {"groups": "groups"},
    VerificationKey: {"public_key": "publicKey"},
}


@cache
def codec_of(kind: Kind[R]) -> Codec[R]:
    """Return how the records of *kind* are written."""
    return Codec(kind)


class Codec(Generic[R]):
    """How the records of a kind are written."""

    def __init__(self, kind: Kind[R]) -> None:
        self._kind = kind
        self._codec = record_codec(kind) if kind.own else _dex_codec(kind)
        self._names = frozenset() if kind.own else _member_names(kind)
        self._expiry = [
            name if kind.own else _name_of(kind, name) for name in kind.expiry
        ]

    def encode(self, record: R, old: bytes = b"") -> bytes:
        """Return the document; what we do not know in the *old* one is kept."""
        document = self._codec.encode(record)
        if not old or not self._names:
            return document
        before = orjson.loads(old)
        strange = {name: before[name] for name in before if name not in self._names}
        if not any(strange.values()):
            return document
        return escape(orjson.dumps({**orjson.loads(document), **strange}))

    def decode(self, document: bytes) -> R:
        """Return the record; raise :class:`~dexcore.errors.StorageError`."""
        try:
            return self._codec.decode(document)
        except ValueError as error:
            raise StorageError(
                f"A stored {self._kind.name} cannot be read: {error}"
            ) from error

    def expiry(self, document: bytes) -> datetime | None:
        """Return when the record's life ends; ``None``: the document is damaged."""
        try:
            members = orjson.loads(document)
            return min(parse_time(members[name]) for name in self._expiry)
        except (ValueError, TypeError, KeyError):
            return None


@attrs.frozen
class _Member:
    name: str
    path: str  # the field, or "" for one of dex's alone
    shape: Any
    option: str

    @property
    def attribute(self) -> str:
        """The attribute of the document's class."""
        return self.name.lower()


def _members(kind: Kind[Any]) -> list[_Member]:
    return [_member(kind, one) for one in MEMBERS[kind.name].split()]


def _member(kind: Kind[Any], text: str) -> _Member:
    option = ",omitempty" if text.endswith("?") else ""
    name, separator, path = text.removesuffix("?").partition("=")
    path = path if separator else name
    return _Member(name, path, _shape(kind.record, path), option)


def _shape(record: type[Any], path: str) -> Any:
    if not path:
        return str
    owner, _, field = path.rpartition(".")
    shape = typing.get_type_hints(PKCE if owner else record)[field]
    # Go writes bytes that are not set as null.
    return bytes | None if shape is bytes else shape


def _member_names(kind: Kind[Any]) -> frozenset[str]:
    return frozenset(one.name for one in _members(kind) if one.path)


def _name_of(kind: Kind[Any], field: str) -> str:
    return next(one.name for one in _members(kind) if one.path == field)


def _dex_codec(kind: Kind[Any]) -> JSONCodec[Any]:
    members = _members(kind)
    document = attrs.make_class(
        f"{kind.record.__name__}Document",
        {one.attribute: attrs.field(type=one.shape) for one in members},
        frozen=True,
    )
    names = {one.attribute: one.name + one.option for one in members}
    codec = json_codec(document, {**NAMES, document: names})
    read = _reader(kind.record, members)
    getters = [_getter(one) for one in members]
    return JSONCodec(
        lambda record: codec.encode(document(*[get(record) for get in getters])),
        lambda data: read(codec.decode(data)),
    )


def _getter(member: _Member) -> Any:
    if not member.path:
        return lambda record: ""
    get = attrgetter(member.path)
    if member.shape == bytes | None:
        return lambda record: get(record) or None
    return get


def _reader(record: type[R], members: list[_Member]) -> Any:
    plain = [one for one in members if one.path and "." not in one.path]
    pkce = [one for one in members if "." in one.path]

    def read(document: Any) -> R:
        fields = {}
        for one in plain:
            value = getattr(document, one.attribute)
            fields[one.path] = (
                b"" if value is None and one.shape == bytes | None else value
            )
        if pkce:
            fields["pkce"] = PKCE(*[getattr(document, one.attribute) for one in pkce])
        return record(**fields)

    return read
