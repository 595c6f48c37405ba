"""Admits a stranger to the password database."""

from __future__ import annotations

import uuid

import attrs

from dexcore.errors import AlreadyExists
from dexcore.signup import Application, Field, Signup, SignupContext
from dexcore.storage import Password

from . import fields
from .config import Config

#: The cost dex hashes with; each step more doubles the work.
BCRYPT_COST = 10

FIELDS = (
    Field("email", "Email address", type="email", autocomplete="email"),
    Field("username", "User name", autocomplete="nickname"),
    Field(
        "password",
        "Password",
        type="password",
        help=f"At least {fields.PASSWORD_CHARACTERS} characters.",
        autocomplete="new-password",
    ),
)


@attrs.frozen
class PasswordSignup(Signup):
    """An email address, a user name, a password: nothing else is asked."""

    config: Config
    context: SignupContext

    def fields(self) -> tuple[Field, ...]:
        """Return the three fields."""
        return FIELDS

    async def admit(self, application: Application, password: Password) -> Password:
        """Return the record of the new user, hash included.

        Raises ``InvalidField``, and ``AlreadyExists`` before hashing for a taken
        address; only the storage knows for sure, when the record is created.
        """
        sent = application.fields
        scheme = self.config.scheme
        email = fields.email(sent.get("email", ""))
        username = fields.username(sent.get("username", ""))
        secret = fields.password(sent.get("password", ""), scheme=scheme)
        if await self.context.storage.passwords.find(email) is not None:
            raise AlreadyExists(email)
        return attrs.evolve(
            password,
            email=email,
            username=username,
            hash=await self.context.passwords.hash(
                secret, scheme=scheme, cost=BCRYPT_COST
            ),
            email_verified=self.config.email_verified,
            user_id=str(uuid.uuid4()),
        )


async def open_signup(config: Config, context: SignupContext) -> Signup:
    """Open ``type: default``."""
    return PasswordSignup(config, context)
