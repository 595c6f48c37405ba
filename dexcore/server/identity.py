"""Between what upstream knows of an end user and what clients are told."""

from __future__ import annotations

from collections.abc import Container

from ..connector import Identity, Scopes
from ..oauth2.scopes import GROUPS, OFFLINE_ACCESS
from ..storage import Claims


def claims_of(identity: Identity) -> Claims:
    """Return what clients may be told of *identity*."""
    return Claims(
        user_id=identity.user_id,
        username=identity.username,
        preferred_username=identity.preferred_username,
        email=identity.email,
        email_verified=identity.email_verified,
        groups=tuple(identity.groups),
    )


def identity_of(claims: Claims, connector_data: bytes) -> Identity:
    """Return the identity a connector gave us, with the data it asked us to keep."""
    return Identity(
        user_id=claims.user_id,
        username=claims.username,
        preferred_username=claims.preferred_username,
        email=claims.email,
        email_verified=claims.email_verified,
        groups=claims.groups,
        connector_data=connector_data,
    )


def wanted(scopes: Container[str]) -> Scopes:
    """Return what a connector needs to know of the *scopes* a client asked for."""
    return Scopes(offline_access=OFFLINE_ACCESS in scopes, groups=GROUPS in scopes)
