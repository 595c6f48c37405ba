"""Every hook does what the manual says, and the manual has every hook."""

from __future__ import annotations

import inspect
import re

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
import click
import pytest

from dexcore import hookimpl, hookspecs, plugins
from dexcore.authenticator import AuthenticatorType
from dexcore.connector import ConnectorType
from dexcore.service import ServiceType
from dexcore.signer import SignerType
from dexcore.signup import SignupType
from dexcore.storage import Claims, Client, StorageType

MANUAL = (Path(__file__).parent.parent / "docs" / "plugins.md").read_text()

HOOKS = {
    name: value
    for name, value in vars(hookspecs).items()
    if name.startswith("dex_") and inspect.isfunction(value)
}


@attrs.frozen
class Config:
    """No options."""


async def open_nothing(config: Config, context: object) -> Any:
    raise NotImplementedError


class Everything:
    """A plugin that implements every hook."""

    @hookimpl
    def dex_commands(self) -> Iterable[click.Command]:
        return [click.Command("toy")]

    @hookimpl
    def dex_claims_types(self) -> Iterable[Any]:
        return [self.claims]

    def claims(
        self, client: Client, claims: Claims, scopes: tuple[str, ...]
    ) -> Mapping[str, Any]:
        return {"client": client.id, "user": claims.user_id, "scopes": scopes}

    @hookimpl
    def dex_template_dirs(self) -> Iterable[Path]:
        return [Path(__file__).parent]

    @hookimpl
    def dex_storage_types(self) -> Iterable[StorageType[Any]]:
        return [StorageType("toy", Config, open_nothing)]

    @hookimpl
    def dex_signer_types(self) -> Iterable[SignerType[Any]]:
        return [SignerType("toy", Config, open_nothing)]

    @hookimpl
    def dex_connector_types(self) -> Iterable[ConnectorType[Any]]:
        return [ConnectorType("toy", Config, open_nothing)]

    @hookimpl
    def dex_signup_types(self) -> Iterable[SignupType[Any]]:
        return [SignupType("toy", Config, open_nothing)]

    @hookimpl
    def dex_authenticator_types(self) -> Iterable[AuthenticatorType[Any]]:
        return [AuthenticatorType("toy", Config, open_nothing)]

    @hookimpl
    def dex_service_types(self) -> Iterable[ServiceType[Any]]:
        return [ServiceType("toy", Config, open_nothing)]


FOUND = plugins.find(Everything())


# — one test per hook, named after it --------------------------------------------------


def test_dex_commands() -> None:
    assert [command.name for command in FOUND.commands()] == ["toy"]


def test_dex_claims_types() -> None:
    [function] = FOUND.extensions(["Everything"]).claims
    assert function(Client("app"), Claims("jane"), ("openid",)) == {
        "client": "app",
        "user": "jane",
        "scopes": ("openid",),
    }


def test_dex_template_dirs() -> None:
    found = FOUND.extensions(["Everything"])
    assert found.template_dirs == (Path(__file__).parent,)


def test_dex_storage_types() -> None:
    assert FOUND.storage_type("toy") == StorageType("toy", Config, open_nothing)
    assert "toy" in FOUND.offers("storage")


def test_dex_signer_types() -> None:
    assert FOUND.signer_type("toy") == SignerType("toy", Config, open_nothing)
    assert "toy" in FOUND.offers("signer")


def test_dex_connector_types() -> None:
    assert FOUND.connector_type("toy") == ConnectorType("toy", Config, open_nothing)
    assert "toy" in FOUND.offers("connector")


def test_dex_signup_types() -> None:
    assert FOUND.signup_type("toy") == SignupType("toy", Config, open_nothing)
    assert "toy" in FOUND.offers("signup")


def test_dex_authenticator_types() -> None:
    wanted = AuthenticatorType("toy", Config, open_nothing)
    assert FOUND.authenticator_type("toy") == wanted
    assert "toy" in FOUND.offers("authenticator")


def test_dex_service_types() -> None:
    assert FOUND.service_type("toy") == ServiceType("toy", Config, open_nothing)
    assert "toy" in FOUND.offers("service")


# — and none is forgotten --------------------------------------------------------------


def test_there_are_hooks() -> None:
    assert len(HOOKS) == 9


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_has_a_test(name: str) -> None:
    assert callable(globals()[f"test_{name}"])


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_in_the_manual_with_its_signature(name: str) -> None:
    signature = inspect.signature(HOOKS[name])
    returns = re.sub(r"\s+", "", str(signature.return_annotation))
    assert not signature.parameters
    assert f"def{name}()->{returns}" in re.sub(r"\s+", "", MANUAL)


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_says_what_it_is_for(name: str) -> None:
    assert inspect.getdoc(HOOKS[name])


def test_the_manual_has_the_hooks_in_the_order_they_are_called() -> None:
    shown = re.findall(r"^def (dex_\w+)\(\) -> Iterable", MANUAL, re.MULTILINE)
    assert shown == list(HOOKS)
