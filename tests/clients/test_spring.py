"""A Spring Boot app logs people in with Spring Security, and guards an API."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import requests

from dexcore.testing.browser import SyncBrowser
from dexcore.testing.maven import built
from dexcore.testing.page import Page

# It may have to be fetched and built.
pytestmark = pytest.mark.timeout(700)

EMAIL, PASSWORD = "jane@example.com", "password"
# Not what HTTP Basic takes as it is: RFC 6749 section 2.3.1.
SECRET = "a secret: of 100% Spring+Security"
NOWHERE = "http://127.0.0.1:1/"
SMALL = ("-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


@attrs.frozen
class Site:
    """A site at ``url`` where people of the providers ``issuers`` log in."""

    url: str
    issuers: dict[str, str]
    log: Path


@contextlib.contextmanager
def spring(
    class_path: str, port: int, issuers: dict[str, str], folder: Path
) -> Iterator[Site]:
    site = Site(f"http://127.0.0.1:{port}", issuers, folder / "log")
    with site.log.open("wb") as output:
        app = subprocess.Popen(
            ["java", *SMALL, "-cp", class_path, "example.App"],
            cwd=folder,
            stdout=output,
            stderr=output,
            env={
                **os.environ,
                "PORT": str(port),
                "DEX_CLIENT_SECRET": SECRET,
                "DEX_ISSUER": issuers["dex"],
                "STRICT_ISSUER": issuers["strict"],
            },
        )
    try:
        deadline = time.monotonic() + 120
        while not answers(f"{site.url}/bye"):
            assert app.poll() is None, site.log.read_text()
            assert time.monotonic() < deadline, site.log.read_text()
            time.sleep(0.1)
        yield site
    finally:
        app.terminate()
        app.wait(30)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.fixture(scope="module")
def running(serve_provider_to_all, free_port, tmp_path_factory):
    class_path = built(Path(__file__).parent / "spring")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    issuers = {}
    for name in ("dex", "strict"):
        client = {
            "id": "spring",
            "secret": SECRET,
            "name": "Spring",
            "redirectURIs": [f"{url}/login/oauth2/code/{name}"],
            "postLogoutRedirectURIs": [f"{url}/bye"],
            "backchannelLogoutURI": f"{url}/logout/connect/back-channel/{name}",
        }
        provider = serve_provider_to_all(
            compat=name,
            sessions={},
            oauth2={"skipApprovalScreen": True},
            # Spring asks for a new token a minute before the old one expires.
            expiry={"idTokens": "50s"},
            staticClients=[client],
        )
        issuers[name] = provider.issuer
    with spring(class_path, port, issuers, tmp_path_factory.mktemp("spring")) as site:
        yield site


@pytest.fixture
def site(requires_program, not_run, request):
    """The site, one for all tests."""
    requires_program("javac", install="apt-get install default-jdk-headless")
    requires_program("mvn", install="apt-get install maven")
    try:
        return request.getfixturevalue("running")
    except ConnectionError as error:
        not_run(error)


def go(browser: SyncBrowser, url: str) -> Page:
    page = browser.authorize(url)
    assert isinstance(page, Page)
    return page


def read(browser: SyncBrowser, url: str) -> dict[str, Any]:
    page = go(browser, url)
    assert page.status == 200, page.words
    return json.loads(page.html)


def log_in(browser: SyncBrowser, site: Site, at: str) -> dict[str, Any]:
    """Come to a page for users only, choose the provider, and log in there."""
    choice = go(browser, f"{site.url}/me")
    form = browser.follow(choice, choice.link(site.issuers[at]))
    page = browser.submit(form, form.forms[0], {"login": EMAIL, "password": PASSWORD})
    assert page.url.startswith(f"{site.url}/me"), site.log.read_text()
    return json.loads(page.html)


def call(site: Site, path: str, token: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(site.url + path, headers=headers, timeout=30)


@pytest.mark.parametrize("at", ["dex", "strict"])
def test_groups_are_roles_and_tokens_are_renewed(site, at):
    with SyncBrowser(stop_at=NOWHERE) as browser:
        me = log_in(browser, site, at)
        assert me["claims"]["iss"] == site.issuers[at]
        assert me["claims"]["email"] == EMAIL
        assert me["claims"]["nonce"]
        assert "ROLE_admins" in me["authorities"]
        assert go(browser, f"{site.url}/auditors").status == 403
        newer = read(browser, f"{site.url}/token")["access_token"]
        assert newer != me["access_token"]
        again = read(browser, f"{site.url}/me")
        assert again["access_token"] == newer
        # It takes the user from a new ID token only if the answer names the scopes.
        assert (again["id_token"] != me["id_token"]) == (at == "strict")
        assert again["claims"]["sub"] == me["claims"]["sub"]


@pytest.mark.parametrize("at", ["dex", "strict"])
def test_whoever_logs_out_of_the_app_is_logged_out_here(site, at):
    with SyncBrowser(stop_at=NOWHERE) as browser:
        log_in(browser, site, at)
        confirm = go(browser, f"{site.url}/logout")
        bye = browser.submit(confirm, confirm.forms[0])
        assert (bye.url, bye.html) == (f"{site.url}/bye", "bye")
        assert "/login" in go(browser, f"{site.url}/me").url
        assert "You are not logged in" in go(browser, site.issuers[at]).words


@pytest.mark.parametrize("at", ["dex", "strict"])
def test_whoever_logs_out_here_is_logged_out_of_the_app(site, at):
    with (
        SyncBrowser(stop_at=NOWHERE) as browser,
        SyncBrowser(stop_at=NOWHERE) as other,
    ):
        log_in(browser, site, at)
        log_in(other, site, at)
        asked = go(browser, f"{site.issuers[at]}/logout")
        done = browser.submit(asked, asked.forms[0])
        assert "You are logged out" in done.words
        deadline = time.monotonic() + 30
        while not go(browser, f"{site.url}/me").url.startswith(f"{site.url}/login"):
            assert time.monotonic() < deadline, site.log.read_text()
            time.sleep(0.1)
        # Only this browser's session has ended.
        assert read(other, f"{site.url}/me")["claims"]["email"] == EMAIL


def test_the_api_takes_an_access_token_and_its_groups(site):
    with SyncBrowser(stop_at=NOWHERE) as browser:
        token = log_in(browser, site, "dex")["access_token"]
    answer = call(site, "/api", token)
    assert answer.status_code == 200, answer.headers
    assert answer.json()["claims"]["email"] == EMAIL
    assert answer.json()["authorities"] == ["ROLE_admins"]
    assert call(site, "/api/auditors", token).status_code == 403
    forged = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    assert call(site, "/api", forged).status_code == 401


def test_the_strict_api_takes_an_access_token_and_no_id_token(site):
    with SyncBrowser(stop_at=NOWHERE) as browser:
        me = log_in(browser, site, "strict")
    answer = call(site, "/api/strict", me["access_token"])
    assert answer.status_code == 200, answer.headers
    assert answer.json()["claims"]["client_id"] == "spring"
    assert "groups" in answer.json()["claims"]["scope"].split()
    # What Spring makes of an issuer by itself takes no typ but JWT.
    assert call(site, "/api/unaware", me["access_token"]).status_code == 401
    refused = call(site, "/api/strict", me["id_token"])
    assert refused.status_code == 401
    assert "typ" in refused.headers["WWW-Authenticate"]
