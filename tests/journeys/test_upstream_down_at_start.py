"""One upstream is down at the start, one plugin is broken: the others log in."""

from __future__ import annotations

import time

import attrs
import pytest

from dexcore import hookimpl
from dexcore.connector import (
    CallbackConnector,
    ConnectorType,
    Identity,
    Redirect,
)
from dexcore.errors import ConfigError
from dexcore.http import HttpClient
from dexcore.options import option
from dexcore.testing.browser import Browser, BrowserError
from dexcore.testing.journey import Journey
from dexcore.testing.upstreams import Upstream, agree

MOCK = {"type": "mockCallback", "id": "mock", "name": "Mock"}
JANE = {
    "type": "mockPassword",
    "id": "pw",
    "name": "Passwords",
    "config": {"username": "jane", "password": "fox"},
}
BROKEN = {"type": "broken", "id": "broken", "name": "Broken"}


@attrs.frozen
class Nothing:
    """No options."""


@attrs.frozen
class Config:
    url: str = option()


@attrs.frozen
class Discovering(CallbackConnector):
    """Asks its upstream where things are, once, when it opens."""

    authorize: str

    async def begin(self, scopes, callback_url, state):
        query = f"redirect_uri={callback_url}&state={state}"
        return Redirect(f"{self.authorize}?{query}")

    async def finish(self, scopes, callback):
        return Identity("7", username="Joe")


class Plugin:
    @hookimpl
    def dex_connector_types(self):
        async def open_discovering(config, context):
            client = HttpClient(timeout=context.timeout)
            try:
                answer = await client.get(f"{config.url}/discovery")
                return Discovering(answer.check().object()["authorize"])
            finally:
                await client.close()

        return [ConnectorType("discovering", Config, open_discovering)]


@pytest.fixture(autouse=True)
def broken_plugin(tmp_path, monkeypatch):
    """It has been installed, and nobody has ever run it."""
    (tmp_path / "acme_broken.py").write_text("1 / 0  # a slip of the author\n")
    installed = tmp_path / "acme_broken-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Name: acme-broken\nVersion: 1.0\n")
    entry_point = "[dexcore]\nconnector.broken = acme_broken\n"
    (installed / "entry_points.txt").write_text(entry_point)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.fixture
def upstream():
    with Upstream({"/authorize": agree}) as upstream:
        upstream.answers["/discovery"] = {"authorize": f"{upstream.url}/authorize"}
        yield upstream


def discovering(upstream):
    config = {"url": upstream.url}
    return {"type": "discovering", "id": "far", "name": "Far", "config": config}


@pytest.fixture
def journey(upstream):
    upstream.down()
    connectors = [MOCK, JANE, BROKEN, discovering(upstream)]
    with Journey(*connectors, plugins=[Plugin()]) as journey:
        yield journey


async def login_page(journey):
    async with Browser() as browser:
        return await browser.open(journey.authorization_url())


def until(done):
    """Wait until *done*; the pauses between attempts are seconds."""
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)


async def test_the_server_starts_and_says_on_the_page_what_is_missing(journey):
    page = await login_page(journey)
    assert page.status == 200
    assert page.words.count("temporarily unavailable") == 2
    for name in ("Broken", "Far"):
        assert f"Log in with {name} temporarily unavailable" in page.words
    for secret in ("acme-broken", "division", "/discovery"):
        assert secret not in page.html


def test_readiness_says_why_and_stays_ready(journey, upstream):
    found = journey.readiness["connectors"]
    assert found["mock"] == {"message": "open"}
    assert found["pw"] == {"message": "open"}
    broken, far = (found[id]["error"]["message"] for id in ("broken", "far"))
    assert "acme-broken 1.0 (entry point connector.broken) failed at import" in broken
    assert "division by zero" in broken
    assert f"GET {upstream.url}/discovery" in far


def test_the_others_log_people_in(journey):
    assert journey.log_in(connector="Mock").claims["name"] == "Kilgore Trout"
    tokens = journey.log_in("jane", "fox", connector="Passwords")
    assert journey.refresh(tokens).claims["name"] == "Kilgore Trout"


@pytest.mark.parametrize("id", ["broken", "far"])
async def test_whoever_has_a_link_to_what_is_missing_is_asked_to_come_again(
    journey, id
):
    async with Browser() as browser:
        page = await browser.open(journey.authorization_url(connector_id=id))
    assert page.status == 503
    assert page.headers["Retry-After"]
    assert "division" not in page.html


async def test_it_recovers_by_itself_when_the_upstream_returns(journey, upstream):
    upstream.up()
    until(lambda: journey.states["far"] == "")
    assert "Far temporarily unavailable" not in (await login_page(journey)).words
    assert journey.readiness["connectors"]["far"] == {"message": "open"}
    assert journey.log_in(connector="Far").claims["name"] == "Joe"
    # What only another installation can help is not tried again.
    assert "division" in journey.states["broken"]


def test_whoever_comes_first_need_not_wait_for_the_next_attempt(journey, upstream):
    upstream.up()

    def logged_in():
        try:
            return journey.log_in(connector="far").claims["name"] == "Joe"
        except BrowserError:
            return False

    until(logged_in)


def test_if_nothing_can_ever_be_opened_the_server_does_not_start():
    with pytest.raises(ConfigError, match="division by zero"):
        Journey(BROKEN)


def test_if_all_upstreams_are_down_it_starts_and_waits(upstream):
    upstream.down()
    with Journey(discovering(upstream), plugins=[Plugin()]) as journey:
        assert journey.states["far"]
        upstream.up()
        until(lambda: journey.states["far"] == "")
        assert journey.log_in().claims["name"] == "Joe"
