"""``type: mockCallback`` and ``type: mockPassword``: connectors to try dexcore with.

Everybody who logs in through them is the same person.
"""

from __future__ import annotations

import hmac

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import attrs

from .. import hookimpl
from ..connector import (
    Callback,
    CallbackConnector,
    ConnectorContext,
    ConnectorType,
    Identity,
    PasswordConnector,
    Redirect,
    RefreshConnector,
    Scopes,
    TokenIdentityConnector,
)
from ..options import InvalidOption, option

KILGORE = Identity(
    user_id="0-385-28089-0",
    username="Kilgore Trout",
    email="kilgore@kilgore.trout",
    email_verified=True,
    groups=("authors",),
    connector_data=b"foobar",
)


@attrs.frozen
class CallbackConfig:
    """``mockCallback``."""

    acr: str = option("", help="How Kilgore logs in (acr).")
    amr: tuple[str, ...] = option((), help="By which methods (amr).")
    claims: Mapping[str, Any] = option(
        factory=dict, help="What else is known of him, under the standard names."
    )

    @property
    def user(self) -> Identity:
        """Kilgore Trout, as the file describes him."""
        return attrs.evolve(KILGORE, acr=self.acr, amr=self.amr, claims=self.claims)


@attrs.frozen
class PasswordConfig:
    """``mockPassword``."""

    username: str = option("", help="The only user name there is.")
    password: str = option("", help="Their password.", secret=True)
    claims: Mapping[str, Any] = option(
        factory=dict, help="What else is known of them, under the standard names."
    )

    def __attrs_post_init__(self) -> None:
        for key in ("username", "password"):
            if not getattr(self, key):
                raise InvalidOption(
                    f"{key} is empty", key=key, remedy=f"Say what {key} logs in."
                )


@attrs.frozen
class MockCallback(CallbackConnector, RefreshConnector, TokenIdentityConnector):
    """The upstream provider that is not there: the browser comes straight back."""

    config: CallbackConfig

    async def begin(self, scopes: Scopes, callback_url: str, state: str) -> Redirect:
        """Return the callback URL itself."""
        joint = "&" if "?" in callback_url else "?"
        return Redirect(f"{callback_url}{joint}state={quote(state, safe='')}")

    async def finish(self, scopes: Scopes, callback: Callback) -> Identity:
        """Return Kilgore Trout."""
        return self.config.user

    async def refresh(self, scopes: Scopes, identity: Identity) -> Identity:
        """Return Kilgore Trout, who never changes."""
        return self.config.user

    async def token_identity(self, token_type: str, token: str) -> Identity:
        """Return Kilgore Trout, whatever the token."""
        return self.config.user


@attrs.frozen
class MockPassword(PasswordConnector, RefreshConnector):
    """A directory with one user in it."""

    config: PasswordConfig

    async def login(
        self, scopes: Scopes, username: str, password: str
    ) -> Identity | None:
        """Return Kilgore Trout for the configured name and password."""
        right_name = _same(username, self.config.username)
        if _same(password, self.config.password) and right_name:
            return attrs.evolve(
                KILGORE,
                groups=(),
                connector_data=b'{"test": "true"}',
                claims=self.config.claims,
            )
        return None

    async def refresh(self, scopes: Scopes, identity: Identity) -> Identity:
        """Return *identity* unchanged."""
        return identity


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(
        one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass")
    )


async def open_callback(
    config: CallbackConfig, context: ConnectorContext
) -> MockCallback:
    """Open ``mockCallback``."""
    return MockCallback(config)


async def open_password(
    config: PasswordConfig, context: ConnectorContext
) -> MockPassword:
    """Open ``mockPassword``."""
    return MockPassword(config)


@hookimpl
def dex_connector_types() -> Iterable[ConnectorType[Any]]:
    """Offer both."""
    return (
        ConnectorType("mockCallback", CallbackConfig, open_callback),
        ConnectorType("mockPassword", PasswordConfig, open_password),
    )
