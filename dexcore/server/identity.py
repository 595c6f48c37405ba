"""Between what upstream knows of an end user and what clients are told."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from ..connector import Identity, Scopes
from ..oauth2 import claims_parameter, user_claims
from ..oauth2.authentication import told_acr, told_amr
from ..oauth2.extras import NO_EXTRAS, Extras
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


def told_by(identity: Identity, usual: tuple[str, ...] = ()) -> Extras:
    """Return what *identity* tells beyond these: ``acr``, ``amr`` and ``user``.

    *usual* is ``amr`` if the connector leaves it to us.
    """
    amr = told_amr(identity.amr) or usual
    if not (identity.acr or amr or identity.claims):
        return NO_EXTRAS
    user = user_claims.checked(identity.claims) if identity.claims else {}
    return Extras(acr=told_acr(identity.acr), amr=amr, user=user)


def user_told(
    identity: Identity, scopes: Container[str], extras: Extras
) -> Mapping[str, Any]:
    """Return the further claims of *identity* that a client has asked for."""
    if not identity.claims:
        return NO_EXTRAS.user
    return user_claims.wanted(
        user_claims.checked(identity.claims),
        scopes,
        claims_parameter.names(extras.claims),
    )


def identity_of(
    claims: Claims, connector_data: bytes, extras: Extras = NO_EXTRAS
) -> Identity:
    """Return the identity a connector gave us, with the data it asked us to keep."""
    return Identity(
        user_id=claims.user_id,
        username=claims.username,
        preferred_username=claims.preferred_username,
        email=claims.email,
        email_verified=claims.email_verified,
        groups=claims.groups,
        connector_data=connector_data,
        acr=extras.acr,
        amr=extras.amr,
        claims=extras.user,
    )


def wanted(scopes: Container[str], extras: Extras = NO_EXTRAS) -> Scopes:
    """Return what a connector needs to know of what a client asked for."""
    return Scopes(
        offline_access=OFFLINE_ACCESS in scopes, groups=wants_groups(scopes, extras)
    )


def wants_groups(scopes: Container[str], extras: Extras) -> bool:
    """Return whether the client asked for groups, by its scopes or one by one."""
    return GROUPS in scopes or GROUPS in claims_parameter.names(extras.claims)
