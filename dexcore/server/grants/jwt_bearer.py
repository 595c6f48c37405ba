"""An assertion of a trusted issuer becomes tokens (RFC 7523 section 2.1).

With an Identity Assertion JWT Authorization Grant (ID-JAG) an enterprise's provider
says who uses which client, for what.
"""

from __future__ import annotations

import hashlib

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import attrs

from ...config.model import TrustedIssuer
from ...errors import (
    AlreadyExists,
    InvalidGrant,
    InvalidScope,
    InvalidTarget,
    UnauthorizedClient,
)
from ...oauth2 import scopes
from ...oauth2.extras import Extras
from ...oauth2.grant_types import JWT_BEARER
from ...oauth2.words import quote_all
from ...storage import ZERO_TIME, Claims, Client, Collections, Replay
from ..audit import Audit, user
from ..policy import Policy
from ..tokens.authorization import Authorization
from ..tokens.subjects import NoSubject, Subjects
from ..trusted_issuers import Assertion, TrustedIssuers
from .grant import Form, Grant, Sender, connector_named, required

#: How far the issuer's clock and ours may be apart.
SKEW = timedelta(minutes=1)

_LONGEST_ID = 256  # characters
_LONGEST_SUB = 255  # OpenID Connect Core section 2
_NOT_HERE = (scopes.OPENID, scopes.OFFLINE_ACCESS)


@attrs.frozen(eq=False)
class JwtBearerGrant(Grant):
    """No browser, no ID token, no refresh token: bring another assertion.

    ``url`` is our issuer, the only audience an assertion may have.
    """

    grant_type: ClassVar = JWT_BEARER

    storage: Collections
    policy: Policy
    subjects: Subjects
    issuers: TrustedIssuers
    audit: Audit
    url: str
    now: Callable[[], datetime]

    async def authorize(
        self, form: Form, client: Client, sender: Sender
    ) -> Authorization:
        """Return whom the assertion is about, and use it up."""
        if client.public:
            raise UnauthorizedClient("Public clients cannot use the jwt-bearer grant.")
        token = required(form, "assertion")
        issuer = self.issuers.issuer_of(token)
        if issuer.clients is not None and client.id not in issuer.clients:
            raise UnauthorizedClient("The client may not bring this issuer's users.")
        await connector_named(self.policy, client, issuer.connector_id, self.grant_type)
        self.policy.check_unattended(client, issuer.connector_id)
        assertion = await self.issuers.verify(token, issuer)
        said = assertion.claims
        expiry = self._check(assertion, client)
        claims = _about_the_user(said, issuer)
        extras = self._extras(form, said, client)
        try:
            extras = self.subjects.settled(client, claims, issuer.connector_id, extras)
        except NoSubject as unfit:
            raise InvalidGrant(str(unfit)) from None
        authorization = await self.allowed(
            Authorization(
                client=client,
                claims=claims,
                scopes=_scopes(form, said),
                connector_id=issuer.connector_id,
                auth_time=_auth_time(said),
                extras=extras,
                jkt=sender.jkt,
            ),
            self.storage,
        )
        await self._spend(assertion, expiry)
        self.audit.record(
            "login successful",
            client_id=client.id,
            connector_id=issuer.connector_id,
            **user(authorization.claims),
        )
        return authorization

    def _check(self, assertion: Assertion, client: Client) -> datetime:
        """Return when the assertion expires (RFC 7523 section 3)."""
        said, now = assertion.claims, self.now()
        if said.get("iss") != assertion.issuer.issuer:
            raise InvalidGrant("The issuer of the assertion is not trusted.")
        # What is for others as well may have been brought to them.
        if said.get("aud") not in (self.url, [self.url]):
            raise InvalidGrant("aud must be our issuer, and nobody else.")
        _text(said, "sub", _LONGEST_SUB)
        _text(said, "jti", _LONGEST_ID)
        bound = said.get("client_id")
        if bound != client.id and (assertion.id_jag or bound is not None):
            raise InvalidGrant("The assertion is for another client.")
        return _check_times(said, now, assertion)

    def _extras(self, form: Form, said: Mapping[str, Any], client: Client) -> Extras:
        """Return what the token is for: what the assertion says, or less."""
        resources = self.policy.resources
        granted = said.get("resource")
        extras = resources.extras(form, client)
        if granted is not None:
            listed = granted if isinstance(granted, list) else [granted]
            if not all(isinstance(each, str) for each in listed):
                raise InvalidTarget("The resource of the assertion is no URI.")
            extras = resources.extras({"resource": " ".join(listed)}, client)
            if not extras.resources:
                raise InvalidTarget("The resource of the assertion is unknown.")
            extras = resources.narrowed(extras, form)
        return attrs.evolve(extras, acr=_optional(said, "acr"), amr=_texts(said, "amr"))

    async def _spend(self, assertion: Assertion, expiry: datetime) -> None:
        name = f"{assertion.issuer.issuer}\0{assertion.claims['jti']}"
        digest = hashlib.sha256(name.encode()).hexdigest()
        # A replica whose clock is behind must still find it.
        replay = Replay(f"jwt_bearer:{digest}", expiry + 2 * SKEW)
        try:
            await self.storage.replays.create(replay)
        except AlreadyExists:
            raise InvalidGrant("The assertion was used before.") from None


def _check_times(
    said: Mapping[str, Any], now: datetime, assertion: Assertion
) -> datetime:
    # That they are numbers was seen when the signature was.
    moment, skew = now.timestamp(), SKEW.total_seconds()
    longest = assertion.issuer.max_lifetime.total_seconds() + skew
    expires, issued = said.get("exp"), said.get("iat")
    if expires is None or (assertion.id_jag and issued is None):
        raise InvalidGrant("The assertion must say exp and iat.")
    if expires <= moment or (issued is not None and issued < moment - longest):
        raise InvalidGrant("The assertion has expired.")
    if expires > moment + longest:
        raise InvalidGrant("The assertion is good for too long.")
    latest = max(issued or 0, said.get("nbf", 0), said.get("auth_time", 0))
    if latest > moment + skew:
        raise InvalidGrant("The assertion is from the future.")
    return datetime.fromtimestamp(expires, UTC)


def _about_the_user(said: Mapping[str, Any], issuer: TrustedIssuer) -> Claims:
    groups = _texts(said, "groups")
    if issuer.allowed_groups and not {*groups} & {*issuer.allowed_groups}:
        raise InvalidGrant("The user is in none of the required groups.")
    return Claims(
        user_id=said["sub"],
        username=_optional(said, "name"),
        preferred_username=_optional(said, "preferred_username"),
        email=_optional(said, "email"),
        email_verified=said.get("email_verified") is True,
        groups=groups,
    )


def _auth_time(said: Mapping[str, Any]) -> datetime:
    seconds = said.get("auth_time", 0)
    return datetime.fromtimestamp(seconds, UTC) if seconds else ZERO_TIME


def _scopes(form: Form, said: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what is asked for, of what the assertion allows.

    As in a token exchange, scopes that nobody knows are ignored.
    """
    asked = scopes.parse(form.get("scope", ""))
    if "scope" in said:
        granted = scopes.parse(_optional(said, "scope"))
        extra = [scope for scope in asked if scope not in granted]
        if extra:
            raise InvalidScope(
                f"The assertion does not allow scope(s): {quote_all(extra)}."
            )
        asked = asked or granted
    left_out = (*scopes.unknown(asked), *_NOT_HERE)
    return tuple(scope for scope in asked if scope not in left_out)


def _text(said: Mapping[str, Any], name: str, longest: int) -> None:
    value = said.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest or "\0" in value:
        raise InvalidGrant(f"{name} must be a text of at most {longest} characters.")


def _optional(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name, "")
    if not isinstance(value, str):
        raise InvalidGrant(f"{name} must be a text.")
    return value


def _texts(said: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = said.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise InvalidGrant(f"{name} must be a list of texts.")
    return tuple(value)
