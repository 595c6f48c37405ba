"""The mock connectors: one person, known to everybody who tries dexcore."""

from __future__ import annotations

import logging

from typing import Any

import attrs
import pytest

from multidict import MultiDict

from dexcore import plugins
from dexcore.config import structure
from dexcore.connector import (
    Callback,
    CallbackConnector,
    Connector,
    ConnectorContext,
    Identity,
    PasswordConnector,
    Redirect,
    RefreshConnector,
    Scopes,
    TokenIdentityConnector,
)
from dexcore.errors import ConfigError
from dexcore.storage import Collections

KILGORE = Identity(
    user_id="0-385-28089-0",
    username="Kilgore Trout",
    email="kilgore@kilgore.trout",
    email_verified=True,
    groups=("authors",),
    connector_data=b"foobar",
)


async def opened(type: str, **config: Any) -> Connector:
    kind = plugins.find().connector_type(type)
    context = ConnectorContext("mock", Collections(), logging.getLogger("test"))
    return await kind.open(structure(config, kind.config), context)


def came_back(**query: str) -> Callback:
    return Callback(
        MultiDict(query), MultiDict(), MultiDict(), "https://op.example/callback"
    )


async def test_the_browser_comes_straight_back_from_mock_callback() -> None:
    mock = await opened("mockCallback")
    assert isinstance(mock, CallbackConnector)
    begun = await mock.begin(Scopes(), "https://op.example/dex/callback", "a b&c")
    assert begun == Redirect("https://op.example/dex/callback?state=a%20b%26c")
    begun = await mock.begin(Scopes(), "https://op.example/callback?x=1", "s")
    assert begun == Redirect("https://op.example/callback?x=1&state=s")
    assert await mock.finish(Scopes(), came_back(state="s")) == KILGORE


async def test_mock_callback_knows_the_same_person_later_and_by_any_token() -> None:
    mock = await opened("mockCallback")
    assert isinstance(mock, RefreshConnector)
    assert isinstance(mock, TokenIdentityConnector)
    assert await mock.refresh(Scopes(), Identity("somebody else")) == KILGORE
    assert await mock.token_identity("urn:x", "any token") == KILGORE
    await mock.close()


async def test_mock_password_logs_its_one_user_in() -> None:
    mock = await opened("mockPassword", username="jane", password="fox")
    assert isinstance(mock, PasswordConnector)
    assert mock.prompt == "Username"
    in_no_group = attrs.evolve(KILGORE, groups=(), connector_data=b'{"test": "true"}')
    assert await mock.login(Scopes(groups=True), "jane", "fox") == in_no_group


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("jane", "Fox"),
        ("Jane", "fox"),
        ("", ""),
        ("jane", ""),
        ("jané", "fox"),
        ("jane", "\ud800"),
    ],
)
async def test_mock_password_refuses_everybody_else(
    username: str, password: str
) -> None:
    mock = await opened("mockPassword", username="jane", password="fox")
    assert isinstance(mock, PasswordConnector)
    assert await mock.login(Scopes(), username, password) is None


async def test_mock_password_leaves_its_user_as_they_are_at_refresh() -> None:
    mock = await opened("mockPassword", username="jane", password="fox")
    assert isinstance(mock, RefreshConnector)
    then = Identity("7", username="Jane", connector_data=b"x")
    assert await mock.refresh(Scopes(), then) == then


@pytest.mark.parametrize(
    "config", [{}, {"username": "jane"}, {"username": "jane", "password": ""}]
)
async def test_mock_password_needs_a_name_and_a_password(
    config: dict[str, str],
) -> None:
    with pytest.raises(ConfigError, match="empty"):
        await opened("mockPassword", **config)


async def test_the_password_of_mock_password_is_not_shown() -> None:
    assert "fox" not in repr(await opened("mockPassword", username="j", password="fox"))
