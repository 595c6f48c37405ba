"""What a token says about the end user, by scope (OpenID Connect Core section 5.4)."""

from __future__ import annotations

import logging

from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs

from ...oauth2 import claims_parameter, user_claims
from ...oauth2.scopes import (
    EMAIL,
    FEDERATED_ID,
    GROUPS,
    PROFILE,
    SCOPES,
    audiences,
    parse,
)
from ...storage import ZERO_TIME, Claims, Client, metadata_of
from .authorization import Authorization
from .subjects import subject_of

log = logging.getLogger("dexcore.server")

_AT_USERINFO = frozenset(
    ("email", "email_verified", "name", "preferred_username", *user_claims.FURTHER)
)

ClaimsType = Callable[[Client, Claims, tuple[str, ...]], Mapping[str, Any]]


def audience(authorization: Authorization) -> dict[str, Any]:
    """Return ``aud``, and ``azp`` if there are several (OpenID Connect Core section 2).

    The peers come in the order of their scopes, then the client itself.
    """
    client_id = authorization.client.id
    asked = audiences(authorization.scopes)
    if not asked:
        return {"aud": client_id}
    everyone = [*asked] if client_id in asked else [*asked, client_id]
    if len(everyone) == 1:
        return {"aud": everyone[0]}
    return {"aud": everyone, "azp": client_id}


def subject(authorization: Authorization) -> str:
    """Return ``sub``, as it was settled when the user logged in."""
    return subject_of(
        authorization.claims.user_id, authorization.connector_id, authorization.extras
    )


def about_the_login(authorization: Authorization) -> dict[str, Any]:
    """Return ``nonce``, ``auth_time`` and ``sid``, where they are known."""
    found: dict[str, Any] = {}
    if authorization.nonce:
        found["nonce"] = authorization.nonce
    if authorization.auth_time > ZERO_TIME:
        found["auth_time"] = int(authorization.auth_time.timestamp())
    if authorization.session_id:
        found["sid"] = authorization.session_id
    return found


def about_the_user(authorization: Authorization) -> dict[str, Any]:
    """Return what the granted scopes let the client know."""
    claims, scopes = authorization.claims, authorization.scopes
    found: dict[str, Any] = {}
    if EMAIL in scopes:
        if claims.email:
            found["email"] = claims.email
        found["email_verified"] = claims.email_verified
    if GROUPS in scopes and claims.groups:
        found["groups"] = claims.groups
    if PROFILE in scopes:
        if claims.username:
            found["name"] = claims.username
        if claims.preferred_username:
            found["preferred_username"] = claims.preferred_username
    if FEDERATED_ID in scopes:
        found["federated_claims"] = _federated(authorization)
    if authorization.extras.user:
        found |= user_claims.wanted(authorization.extras.user, scopes)
    return found


def beside_an_access_token(user: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an ID token says of *user* if userinfo can be asked for the rest.

    OpenID Connect Core section 5.4: what ``profile``, ``email``, ``address`` and
    ``phone`` stand for is there.
    """
    return {name: value for name, value in user.items() if name not in _AT_USERINFO}


def asked_for(
    authorization: Authorization, member: Literal["id_token", "userinfo"]
) -> dict[str, Any]:
    """Return what the ``claims`` parameter asks for in *member*, as far as we know it.

    OpenID Connect Core section 5.5; what is not known is left out.
    """
    extras = authorization.extras
    names = extras.claims.get(member)
    if not names:
        return {}
    if scope := metadata_of(authorization.client).scope:
        # What it has registered may have become less since it asked.
        names = claims_parameter.within({member: names}, parse(scope)).get(member, {})
    known = about_the_user(attrs.evolve(authorization, scopes=SCOPES))
    if extras.acr:
        known["acr"] = extras.acr
    if extras.amr:
        known["amr"] = extras.amr
    return {name: known[name] for name in names if name in known}


def _federated(authorization: Authorization) -> dict[str, str]:
    found = {
        "connector_id": authorization.connector_id,
        "user_id": authorization.claims.user_id,
    }
    return {name: value for name, value in found.items() if value}


@attrs.frozen(eq=False)
class ExtraClaims:
    """The claims that extensions add; they replace nothing."""

    types: tuple[ClaimsType, ...] = ()

    def add(self, authorization: Authorization, to: dict[str, Any]) -> None:
        """Put what the extensions say into *to*."""
        for extra in self.types:
            try:
                found = extra(
                    authorization.client, authorization.claims, authorization.scopes
                )
                to.update({k: v for k, v in found.items() if k not in to})
            except Exception:
                log.exception("a claims extension failed; its claims are left out")
