"""What an authenticator is: a second factor, asked for after the login."""

from __future__ import annotations

import logging

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

import attrs

from .storage import UserIdentity

C = TypeVar("C")


@attrs.frozen
class Prompt:
    """What the end user sees: a template and what it is given.

    ``remember`` is kept with the flow and comes back to ``verify``.
    """

    template: str
    values: Mapping[str, object]
    remember: bytes = b""


class Authenticator(ABC):
    """A second factor."""

    @abstractmethod
    def enrolled(self, user: UserIdentity) -> bool:
        """Return whether *user* has confirmed this factor before."""

    @abstractmethod
    async def begin(self, user: UserIdentity) -> tuple[Prompt, UserIdentity]:
        """Return the page to show and *user* with what must be remembered."""

    @abstractmethod
    async def verify(
        self, user: UserIdentity, answer: Mapping[str, str], remembered: bytes
    ) -> UserIdentity | None:
        """Return *user* with the factor used, or ``None`` if *answer* is wrong.

        Runs inside a compare-and-swap: pure apart from CPU work.
        """


@attrs.frozen
class AuthenticatorContext:
    """What the server lends an authenticator while it opens."""

    id: str
    issuer: str
    log: logging.Logger = logging.getLogger("dexcore.authenticator")


@attrs.frozen
class AuthenticatorType(Generic[C]):
    """One value of ``mfa.authenticators[].type`` in the file and how to open it."""

    name: str
    config: type[C]
    open: Callable[[C, AuthenticatorContext], Awaitable[Authenticator]]
