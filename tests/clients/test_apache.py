"""Apache guards a site with mod_auth_openidc: login, refresh, logout, back-channel."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import requests

from dexcore.testing.browser import SyncBrowser
from dexcore.testing.page import Page

MODULES = Path("/usr/lib/apache2/modules")
EMAIL, PASSWORD = "jane@example.com", "password"
SECRET = "a-secret-of-the-apache-server"
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
OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration
OIDCClientID apache
OIDCClientSecret {secret}
OIDCRedirectURI http://127.0.0.1:{port}/app/in
OIDCDefaultLoggedOutURL http://127.0.0.1:{port}/out
OIDCCryptoPassphrase a-passphrase-of-this-test
OIDCScope "openid email profile offline_access"
OIDCCookieSameSite On
OIDCPKCEMethod S256
OIDCRemoteUserClaim email
OIDCPassClaimsAs environment
<Location /app>
AuthType openid-connect
Require valid-user
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
            modules="\n".join(modules),
            user="User www-data\nGroup www-data" if root else "",
        )
    )
    for name, text in (("app/page", "the secret"), ("out", "bye")):
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
def site(requires_program, serve_provider, free_port):
    """The site, and the provider it logs people in with."""
    program = requires_program("apache2", install="apt-get install apache2")
    if not (MODULES / "mod_auth_openidc.so").exists():
        requires_program(
            "mod_auth_openidc", install="apt-get install libapache2-mod-auth-openidc"
        )
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    provider = serve_provider(
        sessions={},
        oauth2={"skipApprovalScreen": True},
        staticClients=[
            {
                "id": "apache",
                "secret": SECRET,
                "name": "Apache",
                "redirectURIs": [f"{url}/app/in"],
                "postLogoutRedirectURIs": [f"{url}/out"],
                "backchannelLogoutURI": f"{url}/app/in?logout=backchannel",
            }
        ],
    )
    with apache(program, port, provider.issuer) as up:
        yield up, provider


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


def test_apache_logs_in_refreshes_and_logs_out(site):
    up, provider = site
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


def test_apache_hears_by_the_back_channel_that_its_user_has_left(site):
    up, provider = site
    with SyncBrowser(stop_at=NOWHERE) as browser:
        assert enter(browser, up).words == "the secret"
        asked = go(browser, f"{provider.issuer}/logout")
        done = browser.submit(asked, asked.forms[0])
        assert "You are logged out" in done.words
        deadline = time.monotonic() + 30
        while go(browser, f"{up.url}/app/page").url.startswith(up.url):
            assert time.monotonic() < deadline, up.log.read_text()
            time.sleep(0.1)
