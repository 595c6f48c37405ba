"""The APIs that access tokens can be for, and those tokens (RFC 8707, RFC 9068)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import attrs

from ...config import Config
from ...config.model import Resource
from ...errors import InvalidTarget
from ...oauth2 import claims_parameter, resources
from ...oauth2.extras import NO_EXTRAS, Extras
from ...oauth2.scopes import SCOPES, audiences
from ...oauth2.words import quote
from ...storage import Client
from .authorization import Authorization

_NOTHING = timedelta(0)


@attrs.frozen(eq=False)
class Resources:
    """What the file says about resources; the *issuer*, for userinfo, is always one.

    Where the file knows none, ``resource`` is a parameter like any that is unknown.
    """

    issuer: str
    known: Mapping[str, Resource] = {}

    @classmethod
    def of(cls, config: Config) -> Resources:
        """Return those of the file."""
        return cls(config.issuer, {each.id: each for each in config.resources})

    def asked(self, params: Mapping[str, str], client: Client) -> tuple[str, ...]:
        """Return the resources that *params* ask for; raise ``InvalidTarget``."""
        text = params.get("resource")
        if not text or not self.known:
            return ()
        found = resources.parse(text)
        self.check(found, client)
        return found

    def extras(self, params: Mapping[str, str], client: Client) -> Extras:
        """Return what *params* ask for, as it travels; mostly there is nothing."""
        asked = self.asked(params, client)
        return Extras(resources=asked) if asked else NO_EXTRAS

    def narrowed(self, extras: Extras, params: Mapping[str, str]) -> Extras:
        """Return *extras* with the resources of this answer: all, or fewer.

        RFC 8707 section 2.2.  Raises ``InvalidTarget`` for one that was not granted.
        """
        text = params.get("resource")
        if not text or not self.known:
            return extras
        found = resources.parse(text)
        for each in found:
            if each not in extras.resources:
                raise InvalidTarget(f"The resource {quote(each)} was not granted.")
        return attrs.evolve(extras, resources=found)

    def check(self, asked: Iterable[str], client: Client) -> None:
        """Raise ``InvalidTarget`` unless *client* may have tokens for all of them."""
        for each in asked:
            if each == self.issuer:
                continue
            entry = self.known.get(each)
            if entry is None or (
                entry.clients is not None and client.id not in entry.clients
            ):
                raise InvalidTarget(
                    f"The resource {quote(each)} is unknown, or not for this client."
                )

    def describe(self, asked: Iterable[str]) -> list[str]:
        """Return what *asked* let a client do, for the end user who is asked."""
        entries = (self.known.get(each) for each in asked)
        return [f"Use {each.name or each.id} for you" for each in entries if each]

    def serves(self, client_id: str, audience: Iterable[str]) -> bool:
        """Return whether the client is one of the APIs in *audience*."""
        return any(
            client_id in self.known[each].servers
            for each in audience
            if each in self.known
        )

    def lifetime(self, asked: Iterable[str], longest: timedelta) -> timedelta:
        """Return how long a token lives that is for all of *asked*."""
        entries = [self.known[each] for each in asked if each in self.known]
        return min(
            (each.token_lifetime for each in entries if each.token_lifetime > _NOTHING),
            default=longest,
        )

    def scopes(self, authorization: Authorization) -> tuple[str, ...]:
        """Return the granted scopes that every resource of the token may see.

        One that names an audience is about the ID token.
        """
        visible = self._visible(authorization.scopes, authorization.extras)
        return tuple(scope for scope in visible if not audiences((scope,)))

    def told(self, authorization: Authorization) -> Authorization:
        """Return *authorization* with what every resource of the token may be told.

        One by one a client gets no more claims there than by their scopes.
        """
        extras = authorization.extras
        visible = self._visible(SCOPES, extras)
        claims = claims_parameter.within(extras.claims, visible)
        return attrs.evolve(
            authorization,
            scopes=self.scopes(authorization),
            extras=attrs.evolve(extras, claims=claims),
        )

    def _visible(self, scopes: Iterable[str], extras: Extras) -> tuple[str, ...]:
        """Return those of *scopes* that every resource in *extras* may see."""
        entries = [self.known.get(each) for each in extras.resources]
        limits = [each.scopes for each in entries if each and each.scopes is not None]
        return tuple(
            scope for scope in scopes if all(scope in limit for limit in limits)
        )

    def claims(
        self,
        authorization: Authorization,
        common: Mapping[str, Any],
        longest: timedelta,
    ) -> dict[str, Any]:
        """Return what a token for resources says, the end user's claims aside.

        RFC 9068 section 2.2: nothing of an ID token that is not about the login.
        """
        asked, extras = authorization.extras.resources, authorization.extras
        seconds = int(self.lifetime(asked, longest).total_seconds())
        scope = " ".join(self.scopes(authorization))
        found = {
            "iss": common["iss"],
            "sub": common["sub"],
            "aud": asked[0] if len(asked) == 1 else list(asked),
            "exp": common["iat"] + seconds,
            "iat": common["iat"],
            "jti": "",
            "client_id": authorization.client.id,
            "scope": scope,
            "auth_time": common.get("auth_time"),
            "acr": extras.acr,
            "amr": list(extras.amr),
            "sid": common.get("sid"),
        }
        return {name: value for name, value in found.items() if value or name == "jti"}


def is_for_resources(claims: Mapping[str, Any]) -> bool:
    """Return whether an access token of ours is for resources, and not for a client.

    All others say ``at_hash``, and whose they are in ``aud`` and ``azp``.
    """
    return "client_id" in claims and "at_hash" not in claims
