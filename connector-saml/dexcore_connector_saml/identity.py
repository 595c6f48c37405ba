"""Who somebody is, from an assertion; and what is remembered of it for refreshes."""

from __future__ import annotations

import json

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import attrs

from dexcore.connector import Identity, Scopes
from dexcore.errors import AccessDenied, NotInRequiredGroups, UpstreamError
from dexcore.oauth2.authentication import told_acr
from dexcore.oauth2.user_claims import made_of

from .config import Saml
from .messages import Assertion, Attribute, parse_time, values_of
from .xml import Rejected

__all__ = ["identity_of", "refreshed"]

_LOGIN_AGAIN = "This login cannot be renewed. Please log in again."


def identity_of(
    assertion: Assertion, config: Saml, scopes: Scopes, now: datetime
) -> Identity:
    """Return who *assertion* is about.

    Raises ``NotInRequiredGroups``, and ``UpstreamError`` if an attribute is missing
    that the configuration names.
    """
    attributes = assertion.attributes
    email = _single(attributes, config.email_attr)
    username = _single(attributes, config.username_attr)
    groups: tuple[str, ...] = ()
    if config.allowed_groups or (scopes.groups and config.groups_attr):
        groups = _groups(attributes, config)
        groups = _allowed(groups, config, assertion.name_id)
    identity = Identity(
        user_id=assertion.name_id,
        username=username,
        email=email,
        email_verified=True,
        groups=groups,
        acr=_context(assertion),
        claims=_claims(assertion.attributes, config),
    )
    times = {
        "loggedInAt": now if config.max_refresh_age else None,
        "sessionEndsAt": assertion.session_ends,
    }
    kept = _keep(identity, times)
    return _told(attrs.evolve(identity, connector_data=kept), scopes)


def refreshed(
    identity: Identity, config: Saml, scopes: Scopes, now: datetime
) -> Identity:
    """Return the end user as they were when they logged in.

    SAML has no way to ask again.  Raises ``AccessDenied`` if what was remembered cannot
    be used, is too old, if the session upstream has ended, or if the file no longer
    allows any of the groups.
    """
    kept = _recall(identity)
    if config.max_refresh_age:
        _check_age(kept, config.max_refresh_age, now)
    if "sessionEndsAt" in kept and not config.ignore_session_end:
        _check_session(kept, now - config.clock_skew)
    known = Identity(
        user_id=_text(kept, "userId"),
        username=_text(kept, "username"),
        preferred_username=_text(kept, "preferredUsername"),
        email=_text(kept, "email"),
        email_verified=kept.get("emailVerified") is True,
        groups=_kept_groups(kept),
        connector_data=identity.connector_data,
        acr=identity.acr,
        claims=identity.claims,
    )
    if not known.user_id or known.user_id != identity.user_id:
        raise AccessDenied(_LOGIN_AGAIN)
    groups = _allowed(known.groups, config, known.user_id)
    return _told(attrs.evolve(known, groups=groups), scopes)


def _told(identity: Identity, scopes: Scopes) -> Identity:
    """Return what a client learns: groups only if it asked for them."""
    return identity if scopes.groups else attrs.evolve(identity, groups=())


def _single(attributes: tuple[Attribute, ...], name: str) -> str:
    values = _values(attributes, name)
    if not values or not values[0]:
        raise UpstreamError(
            f"The assertion has no attribute {name!r}. {_there_are(attributes)}"
        )
    return values[0]


def _context(assertion: Assertion) -> str:
    """Return how the end user has logged in, if the assertion says one thing of it."""
    contexts = {each.context for each in assertion.authn}
    return told_acr(contexts.pop()) if len(contexts) == 1 else ""


def _claims(attributes: tuple[Attribute, ...], config: Saml) -> dict[str, Any]:
    """Return the further claims; who has no text as an attribute lacks the claim."""
    found: dict[str, str] = {}
    for name, attribute in config.claim_attrs.items():
        try:
            values = values_of(attributes, attribute)
        except Rejected:
            continue
        if values and values[0]:
            found[name] = values[0]
    return made_of(found)


def _groups(attributes: tuple[Attribute, ...], config: Saml) -> tuple[str, ...]:
    values = _values(attributes, config.groups_attr)
    if values is None:
        raise UpstreamError(
            f"The assertion has no attribute {config.groups_attr!r} for groups. "
            f"{_there_are(attributes)}"
        )
    if config.groups_delim and values:
        return tuple(values[0].split(config.groups_delim))
    return values


def _allowed(groups: tuple[str, ...], config: Saml, user_id: str) -> tuple[str, ...]:
    """Return *groups*, or those of them that are allowed; refuse who is in none."""
    if not config.allowed_groups:
        return groups
    matching = tuple(each for each in groups if each in config.allowed_groups)
    if not matching:
        raise NotInRequiredGroups(user_id=user_id, groups=config.allowed_groups)
    return matching if config.filter_groups else groups


def _values(attributes: tuple[Attribute, ...], name: str) -> tuple[str, ...] | None:
    try:
        return values_of(attributes, name)
    except Rejected as error:
        raise UpstreamError(f"The assertion cannot be used: {error}.") from None


def _there_are(attributes: tuple[Attribute, ...]) -> str:
    names = ", ".join(sorted({repr(each.name) for each in attributes})[:30])
    return f"It has {names or 'none'}."


# — What is remembered: dex's document, and keys that it does not know -----------------


def _keep(identity: Identity, times: Mapping[str, datetime | None]) -> bytes:
    document: dict[str, object] = {
        "userId": identity.user_id,
        "username": identity.username,
        "preferredUsername": identity.preferred_username,
        "email": identity.email,
        "emailVerified": identity.email_verified,
    }
    if identity.groups:
        document["groups"] = list(identity.groups)
    for name, moment in times.items():
        if moment is not None:
            document[name] = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _recall(identity: Identity) -> dict[str, object]:
    try:
        document = json.loads(identity.connector_data)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise AccessDenied(_LOGIN_AGAIN)
    return document


def _check_age(kept: dict[str, object], longest: timedelta, now: datetime) -> None:
    if now - _moment(kept, "loggedInAt") > longest:
        raise AccessDenied("The login is too long ago. Please log in again.")


def _check_session(kept: dict[str, object], now: datetime) -> None:
    # Profiles, section 4.1.4.3: only another login makes good for a session that ended.
    if now >= _moment(kept, "sessionEndsAt"):
        raise AccessDenied(
            "The session at the identity provider has ended. Please log in again."
        )


def _moment(kept: dict[str, object], key: str) -> datetime:
    try:
        return parse_time(_text(kept, key))
    except ValueError:
        raise AccessDenied(_LOGIN_AGAIN) from None


def _text(kept: dict[str, object], key: str) -> str:
    value = kept.get(key)
    return value if isinstance(value, str) else ""


def _kept_groups(kept: dict[str, object]) -> tuple[str, ...]:
    groups = kept.get("groups")
    if not isinstance(groups, list):
        return ()
    return tuple(each for each in groups if isinstance(each, str))
