"""Apache guards a site with mod_auth_openidc: login, groups, refresh, every logout."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time

from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import attrs
import pytest
import requests

from dexcore.testing.browser import SyncBrowser
from dexcore.testing.page import Page

MODULES = Path("/usr/lib/apache2/modules")
EMAIL, PASSWORD = "jane@example.com", "password"
SECRET = "a-secret-of-the-apache-server"
SITE = Path(__file__).with_name("apache_site.conf")
NOWHERE = "http://127.0.0.1:1/"

HTTPD = """
ServerRoot {folder}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile {folder}/pid
ErrorLog {folder}/error.log
LogLevel warn auth_openidc:info
Mutex file:{folder} default
DefaultRuntimeDir {folder}
{user}
{modules}
DocumentRoot {folder}/www
Define ISSUER {issuer}
Define SITE http://127.0.0.1:{port}
Define SECRET {secret}
Define PASSPHRASE a-passphrase-of-this-test
Include {site}
<Location /app>
Header set X-User "expr=%{{REMOTE_USER}}"
Header set X-Access-Token "%{{OIDC_access_token}}e"
</Location>
"""


@attrs.frozen
class Apache:
    """A site at ``url``; what is below ``/app`` is only for who is logged in."""

    url: str
    log: Path


@contextlib.contextmanager
def apache(program: str, port: int, issuer: str) -> Iterator[Apache]:
    folder = Path(tempfile.mkdtemp(prefix="dexcore-apache-"))
    root = os.geteuid() == 0
    names = ("mpm_event", "authn_core", "authz_core", "authz_user", "env", "headers")
    modules = [f"LoadModule {n}_module {MODULES}/mod_{n}.so" for n in names]
    modules.append(f"LoadModule auth_openidc_module {MODULES}/mod_auth_openidc.so")
    (folder / "httpd.conf").write_text(
        HTTPD.format(
            folder=folder,
            port=port,
            issuer=issuer,
            secret=SECRET,
            site=SITE,
            modules="\n".join(modules),
            user="User www-data\nGroup www-data" if root else "",
        )
    )
    pages = ("app/page", "app/admins", "app/auditors")
    for name, text in (*((page, "the secret") for page in pages), ("out", "bye")):
        file = folder / "www" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    if root:
        owner = pwd.getpwnam("www-data")
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    server = subprocess.Popen(
        [program, "-f", str(folder / "httpd.conf"), "-DFOREGROUND"], cwd=folder
    )
    url, log = f"http://127.0.0.1:{port}", folder / "error.log"
    try:
        deadline = time.monotonic() + 30
        while not answers(f"{url}/out"):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield Apache(url, log)
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.fixture
def open_site(requires_program, serve_provider, free_port):
    """Return what opens a site, and the provider it logs people in with.

    Arguments say more of the provider; in addresses of them ``SITE`` is the site's.
    """
    program = requires_program("apache2", install="apt-get install apache2")
    if not (MODULES / "mod_auth_openidc.so").exists():
        requires_program(
            "mod_auth_openidc", install="apt-get install libapache2-mod-auth-openidc"
        )
    with contextlib.ExitStack() as stack:

        def start(client: dict[str, str], **more: object) -> tuple[Apache, Any]:
            port = free_port()
            url = f"http://127.0.0.1:{port}"
            apache_client = {
                "id": "apache",
                "secret": SECRET,
                "name": "Apache",
                "redirectURIs": [f"{url}/app/in"],
                "postLogoutRedirectURIs": [f"{url}/out"],
                **client,
            }
            text = json.dumps(
                {"sessions": {}, "staticClients": [apache_client], **more}
            )
            settings = json.loads(text.replace("SITE", url))
            provider = serve_provider(oauth2={"skipApprovalScreen": True}, **settings)
            up = stack.enter_context(apache(program, port, provider.issuer))
            return up, provider

        yield start


def go(browser: SyncBrowser, url: str) -> Page:
    page = browser.authorize(url)
    assert isinstance(page, Page)
    return page


def enter(browser: SyncBrowser, site: Apache) -> Page:
    """Come to the guarded page, logging in on the way."""
    form = go(browser, f"{site.url}/app/page")
    assert form.forms, form.words
    filled = {"login": EMAIL, "password": PASSWORD}
    page = browser.submit(form, form.forms[0], filled)
    assert isinstance(page, Page)
    return page


def info(browser: SyncBrowser, site: Apache, **more: object) -> dict[str, Any]:
    """Return what the site tells a script in its pages about the session."""
    query = urlencode({"info": "json", **more})
    page = go(browser, f"{site.url}/app/in?{query}")
    assert page.status == 200, page.words
    return json.loads(page.html)


def test_apache_logs_in_refreshes_and_logs_out(open_site):
    up, provider = open_site({})
    with SyncBrowser(stop_at=NOWHERE) as browser:
        page = enter(browser, up)
        assert page.words == "the secret", up.log.read_text()
        assert page.headers["X-User"] == EMAIL
        token = page.headers["X-Access-Token"]
        here = f"{up.url}/app/page"
        refreshed = go(browser, f"{up.url}/app/in?refresh={here}&access_token={token}")
        assert refreshed.words == "the secret", up.log.read_text()
        newer = go(browser, here).headers["X-Access-Token"]
        assert newer != token
        out = go(browser, f"{up.url}/app/in?logout={up.url}/out")
        assert out.words == "bye", up.log.read_text()
        assert out.url.startswith(f"{up.url}/out")
        # Neither here nor there is anybody logged in.
        assert go(browser, here).url.startswith(f"{provider.issuer}/auth")
        assert "You are not logged in" in go(browser, provider.issuer).words


def test_apache_lets_in_whom_their_groups_let_in(open_site):
    up, _ = open_site({})
    with SyncBrowser(stop_at=NOWHERE) as browser:
        enter(browser, up)
        assert go(browser, f"{up.url}/app/admins").words == "the secret"
        assert go(browser, f"{up.url}/app/auditors").status in (401, 403)


def test_apache_refreshes_by_itself_what_is_about_to_expire(open_site):
    up, _ = open_site({}, expiry={"idTokens": "25s"})
    here = f"{up.url}/app/page"
    with SyncBrowser(stop_at=NOWHERE) as browser:
        token = enter(browser, up).headers["X-Access-Token"]
        first = go(browser, here).headers["X-Access-Token"]
        second = go(browser, here).headers["X-Access-Token"]
        assert len({token, first, second}) == 3, up.log.read_text()


def test_a_script_in_a_page_has_apache_refresh(open_site):
    up, _ = open_site({})
    with SyncBrowser(stop_at=NOWHERE) as browser:
        enter(browser, up)
        told = info(browser, up)
        assert told["id_token"]["email"] == EMAIL
        assert info(browser, up)["access_token"] == told["access_token"]
        deadline = time.monotonic() + 30
        # It counts in seconds.
        while (newer := info(browser, up, access_token_refresh_interval=1)) and (
            newer["access_token"] == told["access_token"]
        ):
            assert time.monotonic() < deadline, up.log.read_text()
            time.sleep(0.2)
        assert newer["refresh_token"] != told["refresh_token"]


def test_apache_logs_out_whose_tokens_are_not_renewed_any_more(open_site):
    up, provider = open_site(
        {"refreshTokenLifetime": "session"}, expiry={"idTokens": "25s"}
    )
    with SyncBrowser(stop_at=NOWHERE) as browser:
        enter(browser, up)
        leave(browser, provider)
        page = go(browser, f"{up.url}/app/page")
        assert "the secret" not in page.words
        assert not go(browser, f"{up.url}/app/page").url.startswith(up.url)


def test_apache_hears_by_the_back_channel_that_its_user_has_left(open_site):
    up, provider = open_site({"backchannelLogoutURI": "SITE/app/in?logout=backchannel"})
    with SyncBrowser(stop_at=NOWHERE) as browser:
        assert enter(browser, up).words == "the secret"
        assert "You are logged out" in leave(browser, provider).words
        deadline = time.monotonic() + 30
        while go(browser, f"{up.url}/app/page").url.startswith(up.url):
            assert time.monotonic() < deadline, up.log.read_text()
            time.sleep(0.1)


def test_apache_hears_in_a_frame_that_its_user_has_left(open_site):
    frames = {"apache": "SITE/app/in?logout=get"}
    up, provider = open_site({}, sessions={"frontchannelLogoutURIs": frames})
    with SyncBrowser(stop_at=NOWHERE) as browser:
        assert enter(browser, up).words == "the secret"
        page = leave(browser, provider)
        (frame,) = re.findall(r'<iframe[^>]* src="([^"]+)"', page.html)
        assert go(browser, f"{up.url}/app/page").words == "the secret"
        go(browser, unescape(frame))
        assert go(browser, f"{up.url}/app/page").url.startswith(provider.issuer)


def leave(browser: SyncBrowser, provider: Any) -> Page:
    """Log out at the provider; return its last page."""
    asked = go(browser, f"{provider.issuer}/logout")
    done = browser.submit(asked, asked.forms[0])
    assert isinstance(done, Page)
    return done
