"""Users and keys of tests, offered as a plugin like any other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from .. import hookimpl
from ..connector import (
    ConnectorContext,
    ConnectorType,
    Identity,
    PasswordConnector,
    RefreshConnector,
    Scopes,
)
from ..errors import AccessDenied
from ..signer import SignerContext, SignerType
from .keys import TestOnlySigner

__all__ = ["NAME", "PASSWORD", "People", "TestingPlugin", "User"]

#: The ``type`` of both, in a configuration.
NAME = "testing"

PASSWORD = "password"


@attrs.frozen
class User:
    """Somebody who can log in.

    ``claims`` are further ones, under their standard names; ``acr`` and ``amr`` are how
    they log in, if an app asks.
    """

    email: str
    password: str = attrs.field(default=PASSWORD, repr=False)
    username: str = ""
    groups: tuple[str, ...] = ()
    user_id: str = ""
    email_verified: bool = True
    claims: Mapping[str, Any] = attrs.field(factory=dict)
    acr: str = ""
    amr: tuple[str, ...] = ()

    def identity(self) -> Identity:
        """Return them as a connector does."""
        return Identity(
            user_id=self.user_id or self.email,
            username=self.username or self.email.partition("@")[0],
            preferred_username=self.username,
            email=self.email,
            email_verified=self.email_verified,
            groups=self.groups,
            claims=self.claims,
            acr=self.acr,
            amr=self.amr,
        )


@attrs.frozen
class People(PasswordConnector, RefreshConnector):
    """The users a test has added, by email."""

    users: dict[str, User]

    @property
    def prompt(self) -> str:
        return "Email Address"

    async def login(
        self, scopes: Scopes, username: str, password: str
    ) -> Identity | None:
        user = self.users.get(username.lower())
        return user.identity() if user and user.password == password else None

    async def refresh(self, scopes: Scopes, identity: Identity) -> Identity:
        found = self.users.get(identity.email.lower())
        if found is None:
            raise AccessDenied("The user is gone.")
        return found.identity()


@attrs.frozen
class _Nothing:
    """Neither the signer nor the connector has options."""


@attrs.frozen
class TestingPlugin:
    """Offers the signer and the connector of one provider."""

    signer: TestOnlySigner
    people: People

    @property
    def __name__(self) -> str:
        return NAME

    @hookimpl
    def dex_signer_types(self) -> Iterable[SignerType[Any]]:
        """Offer the signer with the shipped keys."""
        return [SignerType(NAME, _Nothing, self._open_signer)]

    @hookimpl
    def dex_connector_types(self) -> Iterable[ConnectorType[Any]]:
        """Offer the users."""
        return [ConnectorType(NAME, _Nothing, self._open_people)]

    async def _open_signer(
        self, config: _Nothing, context: SignerContext
    ) -> TestOnlySigner:
        return self.signer

    async def _open_people(self, config: _Nothing, context: ConnectorContext) -> People:
        return self.people
