"""Logins through SimpleSAMLphp: another implementation, another XML library."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

from pathlib import Path

import attrs
import pytest

from dexcore.testing.browser import BrowserError, SyncBrowser
from dexcore.testing.journey import Journey
from dexcore.testing.tokens import TokenError

WWW = Path("/usr/share/simplesamlphp/www")
STARTS = 30.0  # seconds; it takes a tenth of one
HOUR = 3600  # seconds

CONFIG = """<?php
$config = [
  'baseurlpath' => '%(url)s/', 'certdir' => '%(folder)s/', 
  'loggingdir' => '%(folder)s/',
  'datadir' => '%(folder)s/', 'tempdir' => '%(folder)s/tmp',
  'metadatadir' => '%(folder)s/metadata', 'technicalcontact_email' => 'na@example.org',
  'secretsalt' => 'salt-of-a-test', 'auth.adminpassword' => 'secret-of-a-test',
  'timezone' => 'UTC', 'logging.handler' => 'errorlog', 'enable.saml20-idp' => true,
  'module.enable' => ['exampleauth' => true, 'core' => true, 'saml' => true],
  'session.cookie.name' => 'SSP', 'session.cookie.secure' => false,
  'session.cookie.samesite' => null, 'store.type' => 'phpsession',
  'session.phpsession.savepath' => '%(folder)s/sessions',
  'language.default' => 'en', 'language.available' => ['en'],
  'metadata.sources' => [['type' => 'flatfile']], 'production' => false,
  'metadata.sign.enable' => true, 'metadata.sign.privatekey' => 'idp.pem',
  'metadata.sign.certificate' => 'idp.crt',
];
"""
SOURCES = """<?php
$config = ['users' => ['exampleauth:UserPass',
  'jane:password' => ['uid' => ['jane'], 'mail' => ['jane@example.com'],
                      'name' => ['Jane Döe & Co'], 'groups' => ['admins', 'devs']],
  'joan:password' => ['uid' => ['joan'], 'mail' => ['joan@example.com'],
                      'name' => ['Joan'], 'groups' => ['%(group)s']],
]];
"""
HOSTED = """<?php
$metadata['%(url)s/idp'] = ['host' => '__DEFAULT__', 'privatekey' => 'idp.pem',
  'certificate' => 'idp.crt', 'auth' => 'users',
  'attributes.NameFormat' => 'urn:oasis:names:tc:SAML:2.0:attrname-format:basic',
  'authproc' => [3 => ['class' => 'saml:AttributeNameID', 'attribute' => 'uid',
    'identifyingAttribute' => 'uid',
    'Format' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent']]];
"""
REMOTE = """<?php
$metadata['%(entity)s'] = [%(options)s 'AssertionConsumerService' => [['index' => 0,
  'isDefault' => true, 'Location' => '%(acs)s',
  'Binding' => 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST']]];
"""


@attrs.frozen
class SimpleSAMLphp:
    """One that runs.  ``url`` is another site than dexcore's."""

    url: str
    folder: Path

    @property
    def sso_url(self):
        return f"{self.url}/saml2/idp/SSOService.php"

    @property
    def certificate(self):
        return str(self.folder / "idp.crt")

    def set_group(self, group):
        """Let Joan be in this *group* alone."""
        (self.folder / "authsources.php").write_text(SOURCES % {"group": group})

    def register(self, journey, entity_id="", options=""):
        """Make *journey* known to it; *options* is PHP."""
        acs = f"{journey.issuer}/callback"
        php = REMOTE % {"entity": entity_id or acs, "acs": acs, "options": options}
        (self.folder / "metadata" / "saml20-sp-remote.php").write_text(php)


@pytest.fixture(scope="module")
def idp(keys, tmp_path_factory):
    if not shutil.which("php") or not WWW.exists():
        reason = "To install what runs here: apt-get install simplesamlphp php-cli"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    folder = tmp_path_factory.mktemp("ssp")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    idp = SimpleSAMLphp(f"http://localhost:{port}", folder)
    names = {"url": idp.url, "folder": folder}
    for each in ("metadata", "sessions", "tmp"):
        (folder / each).mkdir()
    (folder / "config.php").write_text(CONFIG % names)
    idp.set_group("users")
    (folder / "metadata" / "saml20-idp-hosted.php").write_text(HOSTED % names)
    (folder / "idp.pem").write_text(keys.idp.private_pem)
    (folder / "idp.crt").write_text(keys.idp.pem)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *("php", "-d", "display_errors=0"),
                *("-d", "opcache.enable=0"),  # its files change within a second
                *("-S", f"127.0.0.1:{port}", "-t", WWW),
            ],
            env={**os.environ, "SIMPLESAMLPHP_CONFIG_DIR": str(folder)},
            stdout=log,
            stderr=log,
        )
    try:
        _wait(f"{idp.url}/saml2/idp/metadata.php", process, folder / "log")
        yield idp
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def _wait(url, process, log):
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + STARTS
    while True:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), direct.open(url, timeout=5) as answer:
            if answer.status == 200:
                return
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.02)


@pytest.fixture
def open_journey(idp):
    """Return what opens a server; *options* are PHP, the others keys of its file."""
    opened = []

    def open_journey(*, options="", settings=None, **config):
        section = {
            "ssoURL": idp.sso_url,
            "ca": idp.certificate,
            "ssoIssuer": f"{idp.url}/idp",
            "redirectURI": "$ISSUER/callback",
            "usernameAttr": "name",
            "emailAttr": "mail",
            "groupsAttr": "groups",
            **config,
        }
        section = {key: value for key, value in section.items() if value is not None}
        journey = Journey({"type": "saml", "config": section}, settings=settings)
        opened.append(journey)
        idp.register(journey, section.get("entityIssuer", ""), options)
        return journey

    yield open_journey
    for journey in opened:
        journey.close()


@pytest.fixture
def log_in(open_journey):
    """Log in through a server of its own; return the tokens and the journey."""

    def log_in(user="jane", **options):
        journey = open_journey(**options)
        return journey.log_in(user, "password"), journey

    return log_in


PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"


def test_how_jane_has_logged_in_is_told_and_can_be_demanded(open_journey):
    """It does not heed what is requested, so that we must."""
    journey = open_journey(claimAttrs={"nickname": "uid"})
    asked = (
        '{"id_token": {"nickname": null, "acr": {"essential": true, "values": [%s]}}}'
    )
    for acr, error in ((PASSWORD, ""), ("urn:x:mfa", "unmet_authentication")):
        url = journey.authorization_url(claims=asked % json.dumps(acr))
        with SyncBrowser(stop_at=journey.redirect_uri) as browser:
            landed = browser.log_in(url, "jane", "password").url
        if error:
            with pytest.raises(TokenError, match=error):
                journey.landed(landed)
        else:
            claims = journey.landed(landed).claims
            assert (claims["acr"], claims["nickname"]) == (PASSWORD, "jane")


RESPONSE, ASSERTION = (
    f"'saml20.sign.response' => {response}, 'saml20.sign.assertion' => {assertion},"
    for response, assertion in (("true", "false"), ("false", "true"))
)
SIGNED = {
    "by default": "",
    "both": "'saml20.sign.response' => true, 'saml20.sign.assertion' => true,",
    "the response": RESPONSE,
    "the assertion": ASSERTION,
    "with SHA-512": (
        "'signature.algorithm' => 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha512',"
    ),
}


@pytest.mark.parametrize("options", SIGNED.values(), ids=SIGNED)
def test_jane_gets_in(options, log_in):
    tokens, journey = log_in(options=options)
    assert tokens.claims["name"] == "Jane Döe & Co"
    assert tokens.claims["email"] == "jane@example.com"
    assert tokens.claims["groups"] == ["admins", "devs"]
    assert journey.refresh(tokens).claims["groups"] == ["admins", "devs"]


def test_whoever_is_not_allowed_does_not(log_in):
    with pytest.raises(BrowserError) as refused:
        log_in("joan", allowedGroups=["admins"])
    assert refused.value.page.status == 403
    assert "required groups" in refused.value.page.words


def test_sha1_does_not_sign(log_in):
    sha1 = "'signature.algorithm' => 'http://www.w3.org/2000/09/xmldsig#rsa-sha1',"
    with pytest.raises(BrowserError, match="was not accepted"):
        log_in(options=sha1)


def test_under_a_name_of_our_own(log_in):
    tokens, _ = log_in(entityIssuer="urn:example:dexcore")
    assert tokens.claims["name"] == "Jane Döe & Co"


def test_by_its_signed_metadata(log_in, idp):
    # It advertises only the redirect binding, and takes both.
    tokens, _ = log_in(
        ca=None,
        ssoIssuer=None,
        idpMetadataURL=f"{idp.url}/saml2/idp/metadata.php",
        idpMetadataCert=idp.certificate,
    )
    assert tokens.claims["email"] == "jane@example.com"


def test_with_a_signed_request(log_in, keys, sp_files):
    options = f"'validate.authnrequest' => true, 'certData' => '{keys.sp.x509}',"
    tokens, _ = log_in(
        options=options,
        signRequests=True,
        spKey=sp_files["sp_key"],
        spCert=sp_files["sp_cert"],
    )
    assert tokens.claims["name"] == "Jane Döe & Co"
    with pytest.raises(BrowserError):
        log_in(options=options)


ENCRYPTED = {
    "its own way": "",
    "with AES-GCM": (
        "'sharedkey_algorithm' => 'http://www.w3.org/2009/xmlenc11#aes256-gcm',"
    ),
}


@pytest.mark.parametrize("algorithm", ENCRYPTED.values(), ids=ENCRYPTED)
def test_encrypted(algorithm, log_in, keys, sp_files):
    options = (
        f"'assertion.encryption' => true, 'certData' => '{keys.sp.x509}',"
        f"'saml20.sign.response' => true, 'saml20.sign.assertion' => true, {algorithm}"
    )
    tokens, _ = log_in(
        options=options, spKey=sp_files["sp_key"], spCert=sp_files["sp_cert"]
    )
    assert tokens.claims["name"] == "Jane Döe & Co"


def test_other_groups_come_with_the_next_login(log_in, idp):
    """SAML has nobody to ask when a token is refreshed."""
    tokens, journey = log_in("joan")
    idp.set_group("authors")
    try:
        assert journey.refresh(tokens).claims["groups"] == ["users"]
        assert journey.log_in("joan", "password").claims["groups"] == ["authors"]
    finally:
        idp.set_group("users")


def test_refreshing_ends_with_the_session_there(log_in):
    """Which it says at every login: ``session.duration``, eight hours."""
    tokens, journey = log_in()
    journey.clock.advance(7 * HOUR)
    tokens = journey.refresh(tokens)
    journey.clock.advance(2 * HOUR)
    with pytest.raises(TokenError, match="invalid_grant"):
        journey.refresh(tokens)


def test_a_wrong_password_stays_there(open_journey):
    with pytest.raises(BrowserError, match="had not ended"):
        open_journey().log_in("jane", "wrong")


async def test_in_chromium(idp, open_journey, example_app):
    """Login, consent, claims and refreshes in the app, until the session there ends."""
    asks = {"oauth2": {"skipApprovalScreen": False}}
    journey = await asyncio.to_thread(open_journey, settings=asks)
    async with example_app(journey, [idp.url]) as app:
        page = await app.begin()
        await page.fill("input[name=username]", "jane")
        await page.fill("input[name=password]", "password")
        await page.locator("#submit_button, #regularsubmit button").first.click()
        await app.agree()
        claims = await app.claims()
        assert claims["name"] == "Jane Döe & Co"
        assert claims["groups"] == '["admins", "devs"]'
        assert await app.refresh() == "The tokens are new."
        assert (await app.claims())["groups"] == claims["groups"]
        journey.clock.advance(9 * HOUR)
        assert "invalid_grant" in await app.refresh()
