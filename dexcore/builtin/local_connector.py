"""``type: local``: the users of our own password database."""

from __future__ import annotations

import logging

from collections import Counter
from collections.abc import Iterable
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
from ..errors import AccessDenied, StorageError, UpstreamError
from ..passwords import Passwords
from ..storage import Collection, Password

# How many users are looked at to learn what verifying a typical password costs.
_SAMPLE = 100


@attrs.frozen
class Config:
    """``local`` has no options: ``enablePasswordDB`` turns it on."""


@attrs.frozen
class LocalConnector(PasswordConnector, RefreshConnector):
    """Checks passwords against the records in the storage.

    ``typical`` is the hash of some user: somebody we do not know takes as long.
    """

    users: Collection[Password]
    passwords: Passwords
    typical: bytes | None = attrs.field(repr=False)
    log: logging.Logger

    @property
    def prompt(self) -> str:
        """People are known by their address."""
        return "Email Address"

    async def login(
        self, scopes: Scopes, username: str, password: str
    ) -> Identity | None:
        """Return the user with the address *username*, if that is their password."""
        user = await self.users.find(username.lower())
        if user is None:
            # The answer must not come sooner, or it tells who has an account here.
            await self.passwords.waste(self.typical, password)
            return None
        try:
            right = await self.passwords.verify(user.hash, password)
        except ValueError as error:
            raise UpstreamError(
                f"The password hash of {user.user_id!r} cannot be used: {error}"
            ) from None
        return _identity(user) if right else None

    async def refresh(self, scopes: Scopes, identity: Identity) -> Identity:
        """Return the user as they are now, but for their address.

        Raises ``AccessDenied`` if they are gone or somebody else has the address now.
        """
        user = await self.users.find(identity.email.lower())
        if user is None or user.user_id != identity.user_id:
            raise AccessDenied("The user no longer exists.")
        return attrs.evolve(
            _identity(user),
            email=identity.email,
            connector_data=identity.connector_data,
        )


def _identity(user: Password) -> Identity:
    return Identity(
        user_id=user.user_id,
        username=user.name or user.username,
        preferred_username=user.preferred_username,
        email=user.email,
        email_verified=user.email_verified is not False,
        groups=user.groups,
    )


async def open_local(config: Config, context: ConnectorContext) -> LocalConnector:
    """Open ``local`` on the users of the storage."""
    if context.passwords is None:
        raise ValueError("The local connector needs a pool that hashes passwords.")
    users = context.storage.passwords
    return LocalConnector(
        users, context.passwords, await _typical(users, context.log), context.log
    )


async def _typical(users: Collection[Password], log: logging.Logger) -> bytes | None:
    """Return the hash of a user whose password costs what most passwords cost."""
    try:
        hashes = [user.hash for user in await users.list(limit=_SAMPLE)]
    except StorageError as error:
        log.warning("cannot look at a sample of users: %s", error)
        return None
    # The first characters are bcrypt's version and cost: "$2a$10$".
    costs = Counter(hash[:7] for hash in hashes)
    most = max(costs, key=lambda cost: costs[cost], default=b"")
    return next((hash for hash in hashes if hash.startswith(most)), None)


@hookimpl
def dex_connector_types() -> Iterable[ConnectorType[Any]]:
    """Offer ``type: local``."""
    return (ConnectorType("local", Config, open_local),)
