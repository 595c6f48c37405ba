"""Scopes: what a client may ask for (OpenID Connect Core section 5.4)."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "ADDRESS",
    "EMAIL",
    "FEDERATED_ID",
    "GROUPS",
    "OFFLINE_ACCESS",
    "OPENID",
    "PHONE",
    "PROFILE",
    "SCOPES",
    "audiences",
    "describe",
    "parse",
    "unknown",
]

OPENID = "openid"
OFFLINE_ACCESS = "offline_access"
EMAIL = "email"
PROFILE = "profile"
ADDRESS = "address"
PHONE = "phone"
GROUPS = "groups"
FEDERATED_ID = "federated:id"

#: Every scope there is, beside the ones that name an audience.
SCOPES = (
    OPENID,
    EMAIL,
    GROUPS,
    PROFILE,
    OFFLINE_ACCESS,
    FEDERATED_ID,
    ADDRESS,
    PHONE,
)

_AUDIENCE = "audience:server:client_id:"

# What the approval page says; the first four are dex's words.
_DESCRIPTIONS = {
    OFFLINE_ACCESS: "Have offline access",
    PROFILE: "View basic profile information",
    EMAIL: "View your email address",
    GROUPS: "View your groups",
    ADDRESS: "View your postal address",
    PHONE: "View your phone number",
    FEDERATED_ID: "View your user id at the identity provider you log in with",
}


def parse(text: str) -> tuple[str, ...]:
    """Return the scopes of a ``scope`` parameter, in order, each once."""
    return tuple(dict.fromkeys(text.split()))


def unknown(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return the *scopes* that nobody knows; an audience must have a name."""
    return tuple(
        scope
        for scope in scopes
        if scope not in SCOPES
        and not (scope.startswith(_AUDIENCE) and len(scope) > len(_AUDIENCE))
    )


def audiences(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return the ids of the clients that *scopes* name as audiences, in order."""
    return tuple(
        scope.removeprefix(_AUDIENCE)
        for scope in scopes
        if scope.startswith(_AUDIENCE) and len(scope) > len(_AUDIENCE)
    )


def describe(scopes: Iterable[str]) -> list[str]:
    """Return what *scopes* let a client do, for the end user who is asked."""
    listed = tuple(scopes)
    known = [_DESCRIPTIONS[scope] for scope in listed if scope in _DESCRIPTIONS]
    peers = [f"Act for you at the application {peer}" for peer in audiences(listed)]
    return known + peers
