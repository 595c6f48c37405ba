"""The plugin by itself, on the core alone."""

from __future__ import annotations

import re
import types

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import dexcore_signup
import pytest

from dexcore import plugins
from dexcore.config import structure
from dexcore.errors import AccessDenied, AlreadyExists, NotFound
from dexcore.passwords import Passwords
from dexcore.signup import Application, InvalidField, Signup, SignupContext
from dexcore.storage import Collection, Collections, Password

README = Path(__file__).parent.parent / "README.md"
NEW = {"email": "Ada@Example.com", "username": "ada", "password": "password123"}


class Users(Collection[Password]):
    """A password database in a dict."""

    def __init__(self) -> None:
        self.kept: dict[str, Password] = {}

    async def create(self, record: Password) -> None:
        if record.email in self.kept:
            raise AlreadyExists(record.email)
        self.kept[record.email] = record

    async def get(self, *key: str) -> Password:
        if key[0] not in self.kept:
            raise NotFound(key[0])
        return self.kept[key[0]]

    async def list(
        self, *, after: tuple[str, ...] | None = None, limit: int | None = None
    ) -> list[Password]:
        return [*self.kept.values()]

    async def update(
        self, *key: str, change: Callable[[Password], Password]
    ) -> Password:
        self.kept[key[0]] = change(await self.get(*key))
        return self.kept[key[0]]

    async def take(self, *key: str) -> Password:
        await self.get(*key)
        return self.kept.pop(key[0])

    async def delete(self, *key: str) -> None:
        await self.take(*key)


@pytest.fixture
async def context() -> AsyncIterator[SignupContext]:
    storage = Collections()
    storage.passwords = Users()
    passwords = Passwords(threads=1)
    yield SignupContext(storage, passwords)
    passwords.close()


async def opened(context: SignupContext, **options: Any) -> Signup:
    kind = plugins.find().signup_type("default")
    return await kind.open(structure(options, kind.config), context)


async def admit(
    signup: Signup, sent: Mapping[str, str], password: Password | None = None
) -> Password:
    return await signup.admit(Application(sent), password or Password(""))


async def test_who_is_admitted_gets_a_whole_record(context: SignupContext) -> None:
    user = await admit(await opened(context), NEW)

    assert (user.email, user.username) == ("ada@example.com", "ada")
    assert len(user.user_id) == 36
    assert user.email_verified is False
    assert user.hash.startswith(b"$2a$10$")
    assert await context.passwords.verify(user.hash, "password123")


async def test_what_another_plugin_decided_is_kept(context: SignupContext) -> None:
    user = await admit(await opened(context), NEW, Password("", groups=("invited",)))

    assert user.groups == ("invited",)


async def test_two_who_sign_up_are_two(context: SignupContext) -> None:
    signup = await opened(context)
    one, two = await admit(signup, NEW), await admit(signup, NEW)

    assert one.user_id != two.user_id
    assert one.hash != two.hash


async def test_a_taken_address_is_refused(context: SignupContext) -> None:
    signup = await opened(context)
    await context.storage.passwords.create(await admit(signup, NEW))

    with pytest.raises(AlreadyExists):
        await admit(signup, NEW | {"email": "ADA@example.com"})


async def test_nothing_is_stored_here(context: SignupContext) -> None:
    await admit(await opened(context), NEW)

    assert await context.storage.passwords.list() == []


async def test_the_options_choose_the_hash_and_the_claim(
    context: SignupContext,
) -> None:
    signup = await opened(context, scheme="argon2id", emailVerified=True)
    user = await admit(signup, NEW | {"password": "x" * 100})

    assert user.hash.startswith(b"$argon2id$")
    assert user.email_verified is True


@pytest.mark.parametrize("field", ["email", "username", "password"])
async def test_a_missing_field_is_named(context: SignupContext, field: str) -> None:
    signup = await opened(context)

    with pytest.raises(InvalidField) as refused:
        await admit(signup, {k: v for k, v in NEW.items() if k != field})

    assert refused.value.field == field
    assert field in [each.name for each in signup.fields()]


def test_it_was_written_for_these_contracts() -> None:
    assert dexcore_signup.dexcore_contract == (1, 0)


async def test_the_plugin_in_the_readme_works(
    context: SignupContext, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall("```python\n(.*?)```", README.read_text("utf-8"), re.S)
    module = types.ModuleType("signup.invitation")
    exec(code, module.__dict__)
    kind = plugins.find(module).signup_type("invitation")
    signup = await kind.open(structure({"codes": ["spring"]}, kind.config), context)

    (field,) = signup.fields()
    assert field.name == "code"
    assert (await admit(signup, NEW | {"code": "spring"})).groups == ("invited",)
    with pytest.raises(InvalidField):
        await admit(signup, NEW | {"code": "autumn"})
    with pytest.raises(AccessDenied):
        await admit(signup, {"code": "spring", "email": "x@competitor.example"})
    await signup.welcome(Password("ada@example.com"))
    assert capsys.readouterr().out == "Welcome ada@example.com\n"
