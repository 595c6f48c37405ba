"""What a sign-up is: how a stranger becomes a user of the password database.

``signup:`` in the configuration file lists one or more types.  They work in that order
on one form: each adds its fields, each admits (and may change the record or refuse),
each welcomes.  So one plugin brings the account, and another asks for an invitation
code.
"""

from __future__ import annotations

import logging

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

import attrs

from .passwords import Passwords
from .storage import Collections, Password

C = TypeVar("C")


@attrs.frozen
class Field:
    """One field of the form.

    ``name`` is its name in the request, ``label`` and ``help`` stand on the page.
    ``type`` is an HTML input type; ``autocomplete`` an HTML autofill name.
    """

    name: str
    label: str
    type: str = "text"
    required: bool = True
    help: str = ""
    autocomplete: str = ""


@attrs.frozen
class Application:
    """What a stranger sent: every field by name, and where from."""

    fields: Mapping[str, str]
    address: str = ""


class InvalidField(Exception):
    """A field is missing or wrong; the page says so beside it, JSON names it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class Signup(ABC):
    """Asks, admits, welcomes."""

    @abstractmethod
    def fields(self) -> tuple[Field, ...]:
        """Return the fields this one adds to the form, in order."""

    @abstractmethod
    async def admit(self, application: Application, password: Password) -> Password:
        """Return *password*, the record of the new user, completed.  Nothing is stored.

        The first type gets an empty record, the next what the one before returned.
        Raises :class:`InvalidField`, or :class:`~dexcore.errors.AccessDenied` to refuse
        with a reason.
        """

    async def welcome(self, password: Password) -> None:
        """Greet the new user, who is stored by now.  What it raises is only logged."""

    async def close(self) -> None:
        """Let go of connections."""


@attrs.frozen
class SignupContext:
    """What the server lends a sign-up while it opens."""

    storage: Collections
    passwords: Passwords
    log: logging.Logger = logging.getLogger("dexcore.signup")


@attrs.frozen
class SignupType(Generic[C]):
    """A way to sign up and how to open it."""

    name: str
    config: type[C]
    open: Callable[[C, SignupContext], Awaitable[Signup]]
