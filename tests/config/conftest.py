"""A few plugins, as the finder of plugins offers them."""

from __future__ import annotations

import enum

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest

from dexcore.errors import PluginError
from dexcore.options import InvalidOption, option


class Mode(enum.Enum):
    LAZY = "lazy"
    EAGER = "eager"


@attrs.frozen
class Nothing:
    """No options."""


@attrs.frozen
class Keys:
    """Local keys."""

    keys_rotation_period: timedelta = option(timedelta(hours=6), help="How often.")
    algorithm: Literal["RS256", "ES256"] = option("RS256", help="Which.")


@attrs.frozen
class Factor:
    """A second factor."""

    issuer: str = option("", help="What the phone shows.")
    rp_display_name: str = option("", help="What the key shows.")


@attrs.frozen
class File:
    """A file."""

    file: str = option(help="The path of the file.")
    mode: Mode = option(Mode.LAZY, help="When to open it.")


@attrs.frozen
class Matcher:
    """How users and groups match."""

    user_attr: str = option(help="The attribute of the user.")
    group_attr: str = option("member", help="The attribute of the group.")


@attrs.frozen
class Directory:
    """A directory."""

    host: str = option(help="host:port of the server.")
    port: int = option(389, help="Where it listens.")
    share: float = 0.5
    insecure: bool = False
    bind_pw: str = option("", key="bindPW", secret=True, help="The password.")
    scope: Literal["sub", "one"] = option(
        "sub", choices=("sub", "one"), help="How deep to search."
    )
    timeout: timedelta = option(timedelta(seconds=5), help="How long to wait.")
    ca: Path | None = None
    matchers: tuple[Matcher, ...] = option((), key="userMatchers", help="Groups.")
    names: Mapping[str, str] = option(factory=dict, help="Other names.")
    weights: dict[str, int] = option(factory=dict)
    extra: Mapping[str, Any] = option(factory=dict)
    tags: frozenset[str] = option(frozenset())
    lines: list[str] = option(factory=list)
    limit: int | Literal["none"] = "none"
    pin: bytes = b""
    anything: Any = None
    level: int = attrs.field(default=1, validator=attrs.validators.in_([1, 2, 3]))
    _private: str = "x"

    def __attrs_post_init__(self) -> None:
        if self.insecure and self.bind_pw:
            raise InvalidOption(
                "the password would travel readable",
                key="bindPW",
                remedy="Remove insecure.",
            )
        if self.host == "localhost":
            raise ValueError("localhost is ambiguous")


@attrs.frozen
class Faulty:
    """Fails in a way of its own."""

    def __attrs_post_init__(self) -> None:
        raise RuntimeError("the author did not think of this")


@attrs.frozen
class Offer:
    name: str
    config: type[Any]


OFFERS: Mapping[str, Mapping[str, Offer]] = {
    kind: {name: Offer(name, config) for name, config in offers.items()}
    for kind, offers in {
        "storage": {"memory": Nothing, "sqlite3": File, "postgres": Directory},
        "signer": {"local": Keys},
        "connector": {
            "ldap": Directory,
            "local": Nothing,
            "mockCallback": Nothing,
            "mockPassword": Directory,
            "faulty": Faulty,
        },
        "signup": {"default": Nothing},
        "authenticator": {"TOTP": Factor, "WebAuthn": Factor},
    }.items()
}


class Plugins:
    """What finds plugins by name."""

    def offers(self, kind: str) -> Mapping[str, Offer]:
        return OFFERS[kind]

    def storage_type(self, name: str) -> Offer:
        return self._find("storage", name)

    def signer_type(self, name: str) -> Offer:
        return self._find("signer", name)

    def connector_type(self, name: str) -> Offer:
        return self._find("connector", name)

    def signup_type(self, name: str) -> Offer:
        return self._find("signup", name)

    def authenticator_type(self, name: str) -> Offer:
        return self._find("authenticator", name)

    def _find(self, kind: str, name: str) -> Offer:
        if name not in OFFERS[kind]:
            raise PluginError(f'No plugin offers the {kind} type "{name}".')
        return OFFERS[kind][name]


@pytest.fixture
def plugins() -> Plugins:
    return Plugins()


@pytest.fixture
def directory() -> type[Any]:
    return Directory
