"""Logins through pysaml2 as an identity provider of its own, with pages and a session.

What it does not choose itself is what its users configure: SATOSA and those like it.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import secrets
import warnings
import zlib

from html import escape
from urllib.parse import urlencode

import aiohttp
import pytest

from aiohttp import web

from dexcore.testing.browser import Browser, BrowserError
from dexcore.testing.journey import Journey
from dexcore.testing.page import Page
from dexcore.testing.tokens import TokenError
from dexcore.testing.upstreams import Upstream

# pysaml2 uses what cryptography and the standard library will take away one day.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from saml2 import BINDING_HTTP_POST as POST
    from saml2 import BINDING_HTTP_REDIRECT as REDIRECT
    from saml2.authn_context import PASSWORDPROTECTEDTRANSPORT
    from saml2.config import IdPConfig
    from saml2.metadata import entity_descriptor, sign_entity_descriptor
    from saml2.samlp import STATUS_AUTHN_FAILED
    from saml2.server import Server
    from saml2.sigver import pre_encryption_part, security_context

HOUR = 3600  # seconds
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
XENC = "http://www.w3.org/2001/04/xmlenc#"
DSIG = "http://www.w3.org/2000/09/xmldsig#"
SHA256 = f"{XENC}sha256"
# What pysaml2 makes of displayName, mail and isMemberOf.
ATTRIBUTES = {
    "usernameAttr": "urn:oid:2.16.840.1.113730.3.1.241",
    "emailAttr": "urn:oid:0.9.2342.19200300.100.1.3",
    "groupsAttr": "urn:oid:1.3.6.1.4.1.5923.1.5.1.1",
}
JANE = {
    "displayName": ["Jane Döe & Co"],
    "mail": ["jane@example.com"],
    "isMemberOf": ["admins", "devs"],
}
PAGE = '<!doctype html><title>pysaml2</title><link rel="icon" href="data:,">'
FORM = (
    '<form method="post" action="/login"><input type="hidden" name="login" value="{}">'
    '<input name="username" autocomplete="username">'
    '<input name="password" type="password" autocomplete="current-password">'
    "<button>Log in</button></form>"
)


class Encrypting(Server):
    """A server that encrypts with an AES of choice, if one is chosen.

    pysaml2 itself can only do it with Triple DES, and calls two namespaces ``ns0``.
    """

    cipher = ""

    def _encrypt_assertion(self, encrypt_cert, sp_entity_id, response, node_xpath=None):
        if not self.cipher:
            return super()._encrypt_assertion(
                encrypt_cert, sp_entity_id, response, node_xpath
            )
        [(_, certificate)] = self.metadata.certs(sp_entity_id, "any", "encryption")
        template = pre_encryption_part(msg_enc=self.cipher, encrypt_cert=certificate)
        return self.sec.encrypt_assertion(
            response,
            self.config.key_file.replace("idp.key", "sp.crt"),
            template.to_string({"xenc": XENC, "ds": DSIG}).decode(),
            key_type="aes-256",
            node_xpath=node_xpath,
        )


class PySaml2(Upstream):
    """The identity provider.

    ``users`` by name, with the password ``password``; ``refused`` are those for whom
    there is an account but no way in.  ``options`` are those of pysaml2's responses.
    Whoever has logged in stays so, by a cookie.
    """

    def __init__(self, folder, xmlsec1):
        super().__init__()
        self.folder, self.xmlsec1 = folder, xmlsec1
        self.entity_id = f"{self.url}/idp"
        self.sso_url, self.metadata_url = f"{self.url}/sso", f"{self.url}/metadata"
        self.users = {"jane": JANE, "joan": {**JANE, "isMemberOf": ["users"]}}
        self.refused = set()
        self.options = {"sign_response": True, "sign_assertion": True}
        self.wants_signed_requests = False
        self.begun, self.sessions, self.sent = {}, {}, []
        self.server = None
        self.use("idp")

    def use(self, key, *announced):
        """Sign with the *key* of that name, and publish others that may come."""
        files = [str(self.folder / f"{name}.crt") for name in announced]
        endpoints = [(self.sso_url, REDIRECT), (self.sso_url, POST)]
        self.config = {
            "entityid": self.entity_id,
            "xmlsec_binary": self.xmlsec1,
            "key_file": str(self.folder / f"{key}.key"),
            "cert_file": str(self.folder / f"{key}.crt"),
            "additional_cert_files": files,
            "service": {
                "idp": {
                    "endpoints": {"single_sign_on_service": endpoints},
                    "want_authn_requests_signed": self.wants_signed_requests,
                }
            },
        }
        if self.server is not None:
            self._reload()

    def register(self, journey):
        """Read the metadata of the service provider that *journey* serves."""
        url = f"{journey.issuer}/connectors/saml/metadata"
        (self.folder / "sp.xml").write_bytes(self._background.call(_get(url)))
        self._reload()

    def _reload(self):
        sp = {"local": [str(self.folder / "sp.xml")]}
        self.server = Encrypting(config=_config({**self.config, "metadata": sp}))

    # — its pages ----------------------------------------------------------------------

    def routes(self):
        return [
            web.get("/metadata", self._metadata),
            web.get("/sso", self._asked),
            web.post("/sso", self._asked),
            web.post("/login", self._log_in),
        ]

    async def _metadata(self, request):
        """Answer with the signed metadata."""
        key = {"key_file": str(self.folder / "metadata.key")}
        key["cert_file"] = str(self.folder / "metadata.crt")
        _, document = sign_entity_descriptor(
            entity_descriptor(_config(self.config)),
            None,
            security_context(_config({**self.config, **key})),
            RSA_SHA256,
            SHA256,
        )
        return web.Response(body=document, content_type="application/samlmetadata+xml")

    async def _asked(self, request):
        form = request.query if request.method == "GET" else await request.post()
        binding = REDIRECT if request.method == "GET" else POST
        asked = self.server.parse_authn_request(form["SAMLRequest"], binding).message
        login = secrets.token_hex(8)
        self.begun[login] = asked, form["RelayState"]
        known = self.sessions.get(request.cookies.get("pysaml2", ""))
        if known and asked.force_authn != "true":
            return self._answered(login, known)
        return _page(FORM.format(login))

    async def _log_in(self, request):
        form = await request.post()
        name = form["username"]
        if name not in self.users or form["password"] != "password":
            return _page(f"<p>Wrong.</p>{FORM.format(escape(form['login']))}", 401)
        answer = self._answered(form["login"], name)
        session = secrets.token_hex(8)
        self.sessions[session] = name
        # Service providers post to it from other sites.
        answer.set_cookie("pysaml2", session, samesite="None", secure=True)
        return answer

    def _answered(self, login, name):
        asked, relay_state = self.begun.pop(login)
        arguments = self.server.response_args(asked, bindings=[POST])
        algorithms = {"sign_alg": RSA_SHA256, "digest_alg": SHA256}
        if name in self.refused:
            made = self.server.create_error_response(
                arguments["in_response_to"],
                arguments["destination"],
                (STATUS_AUTHN_FAILED, "The account is locked."),
                sign=True,
                **algorithms,
            )
        else:
            made = self.server.create_authn_response(
                self.users[name],
                userid=name,
                authn={"class_ref": PASSWORDPROTECTEDTRANSPORT},
                **arguments,
                **algorithms,
                **self.options,
            )
        self.sent.append(str(made))
        posted = self.server.apply_binding(
            POST, str(made), arguments["destination"], relay_state, response=True
        )
        return web.Response(text=posted["data"], content_type="text/html")


def _config(settings):
    # It takes what it is given apart.
    return IdPConfig().load(copy.deepcopy(settings))


def _page(body, status=200):
    return web.Response(text=PAGE + body, status=status, content_type="text/html")


async def _get(url):
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        return await answer.read()


# — one that runs, and a server that logs in there -------------------------------------


@pytest.fixture
def idp(keys, tmp_path, requires_program):
    named = {"idp": keys.idp, "next": keys.other, "metadata": keys.other, "sp": keys.sp}
    for name, key in named.items():
        (tmp_path / f"{name}.key").write_text(key.private_pem)
        (tmp_path / f"{name}.crt").write_text(key.pem)
    xmlsec1 = requires_program("xmlsec1", install="apt-get install xmlsec1")
    with PySaml2(tmp_path, xmlsec1) as idp:
        yield idp


@pytest.fixture
def open_journey(idp):
    """Return what opens a server that knows the provider; arguments are its keys."""
    opened = []

    def open_journey(settings=None, **config):
        section = {
            "idpMetadataURL": idp.metadata_url,
            "idpMetadataCert": str(idp.folder / "metadata.crt"),
            "redirectURI": "$ISSUER/callback",
            **ATTRIBUTES,
            **config,
        }
        connector = {"type": "saml", "name": "pysaml2", "config": section}
        opened.append(Journey(connector, settings=settings))
        idp.register(opened[-1])
        return opened[-1]

    yield open_journey
    for journey in opened:
        journey.close()


@pytest.fixture
def ours(sp_files):
    """Our key and certificate, as options of the file."""
    return {"spKey": sp_files["sp_key"], "spCert": sp_files["sp_cert"]}


SIGNED = {
    "both": {"sign_response": True, "sign_assertion": True},
    "the response": {"sign_response": True, "sign_assertion": False},
    "the assertion": {"sign_response": False, "sign_assertion": True},
}


@pytest.mark.parametrize("options", SIGNED.values(), ids=SIGNED)
def test_jane_gets_in_with_her_groups_and_refreshes(open_journey, idp, options):
    idp.options = options
    journey = open_journey()
    tokens = journey.log_in("jane", "password")
    assert tokens.claims["name"] == "Jane Döe & Co"
    assert tokens.claims["email"] == "jane@example.com"
    assert tokens.claims["groups"] == ["admins", "devs"]
    assert journey.userinfo(tokens)["groups"] == ["admins", "devs"]
    with idp.down():
        assert journey.refresh(tokens).claims["groups"] == ["admins", "devs"]


def test_without_a_signature_nobody_gets_in(open_journey, idp):
    idp.options = {"sign_response": False, "sign_assertion": False}
    with pytest.raises(BrowserError, match="was not accepted"):
        open_journey().log_in("jane", "password")


def test_it_knows_jane_by_the_same_name_for_good(open_journey):
    journey = open_journey()
    first, second = (journey.log_in("jane", "password") for _ in range(2))
    assert first.claims["sub"] == second.claims["sub"]
    assert journey.log_in("joan", "password").claims["sub"] != first.claims["sub"]


def test_other_groups_come_with_the_next_login(open_journey, idp):
    journey = open_journey()
    tokens = journey.log_in("jane", "password")
    idp.users["jane"] = {**JANE, "isMemberOf": ["devs"]}
    assert journey.refresh(tokens).claims["groups"] == ["admins", "devs"]
    assert journey.log_in("jane", "password").claims["groups"] == ["devs"]


def test_who_is_in_no_allowed_group_reads_so(open_journey):
    journey = open_journey(allowedGroups=["admins"])
    journey.log_in("jane", "password")
    with pytest.raises(BrowserError, match="required groups") as refused:
        journey.log_in("joan", "password")
    assert refused.value.page.status == 403


def test_refreshing_ends_with_the_session_there(open_journey, idp):
    idp.options["session_not_on_or_after"] = _in_hours(8)
    journey = open_journey()
    tokens = journey.log_in("jane", "password")
    journey.clock.advance(7 * HOUR)
    tokens = journey.refresh(tokens)
    journey.clock.advance(2 * HOUR)
    with pytest.raises(TokenError, match="invalid_grant"):
        journey.refresh(tokens)


def _in_hours(hours):
    from saml2.time_util import in_a_while

    return in_a_while(hours=hours)


def test_a_wrong_password_stays_there(open_journey):
    with pytest.raises(BrowserError, match=r"Wrong\.") as refused:
        open_journey().log_in("jane", "wrong")
    assert refused.value.page.status == 401


def test_who_is_refused_there_reads_so_here(open_journey, idp, caplog):
    journey = open_journey()
    idp.refused.add("jane")
    with pytest.raises(BrowserError, match="did not log you in") as refused:
        journey.log_in("jane", "password")
    assert refused.value.page.status == 403
    [said] = [each for each in caplog.records if "failed upstream" in each.message]
    assert "status:Responder" in said.fields["reason"]
    assert "status:AuthnFailed" in said.fields["reason"]
    assert "The account is locked." in said.fields["reason"]
    assert "locked" not in refused.value.page.words


def test_a_fresh_login_is_one_there_too(open_journey, idp):
    """Without being asked for one, it knows whoever has logged in."""
    journey = open_journey()

    async def walk():
        async with Browser(stop_at=journey.redirect_uri) as browser:
            landed = [await browser.log_in(_url(), "jane", "password")]
            page = await _arrive(browser, _url())
            assert not page.forms[0].field("password")
            landed.append(await browser.go_on(page))
            page = await _arrive(browser, _url(prompt="login"))
            assert page.forms[0].field("password")
            landed.append(await browser.go_on(page, "jane", "password"))
            return [each.url for each in landed]

    def _url(**more):
        return journey.authorization_url(**more)

    for url in journey._background.call(walk()):
        assert journey.landed(url).claims["name"] == "Jane Döe & Co"


async def _arrive(browser, url) -> Page:
    """Go where dexcore sends the browser: to the provider."""
    page = await browser.authorize(url)
    return await browser.submit(page, page.forms[0])


def test_our_request_arrives_by_its_redirect_binding_as_well(open_journey, idp):
    """Where both are at one address, whoever stands between us may change them."""
    journey = open_journey()

    async def walk():
        async with Browser(stop_at=journey.redirect_uri) as browser:
            page = await browser.authorize(journey.authorization_url())
            [form] = page.forms
            request = base64.b64decode(form.fields["SAMLRequest"])
            # Bindings section 3.4.4.1: DEFLATE, without the header of zlib.
            deflated = base64.b64encode(zlib.compress(request)[2:-4]).decode()
            query = urlencode({**form.fields, "SAMLRequest": deflated})
            page = await browser.open(f"{idp.sso_url}?{query}")
            return (await browser.go_on(page, "jane", "password")).url

    assert journey.landed(journey._background.call(walk())).claims["email"]


def test_it_verifies_our_signature(open_journey, idp, ours):
    idp.wants_signed_requests = True
    idp.use("idp")
    journey = open_journey(signRequests=True, **ours)
    assert journey.log_in("jane", "password").claims["email"] == "jane@example.com"
    with pytest.raises(BrowserError) as refused:
        open_journey(**ours).log_in("jane", "password")
    assert refused.value.page.url.startswith(idp.url)


CIPHERS = {
    "AES-GCM": "http://www.w3.org/2009/xmlenc11#aes256-gcm",
    "AES-CBC": f"{XENC}aes256-cbc",
}


@pytest.mark.parametrize("cipher", CIPHERS.values(), ids=CIPHERS)
def test_an_encrypted_login(open_journey, idp, ours, cipher):
    idp.options.update(encrypt_assertion=True, encrypted_advice_attributes=False)
    journey = open_journey(**ours)
    idp.server.cipher = cipher
    tokens = journey.log_in("jane", "password")
    assert tokens.claims["groups"] == ["admins", "devs"]
    assert "jane@example.com" not in idp.sent[-1]


def test_what_it_encrypts_with_by_itself_is_too_weak(open_journey, idp, ours):
    idp.options.update(encrypt_assertion=True, encrypted_advice_attributes=False)
    with pytest.raises(BrowserError, match="was not accepted"):
        open_journey(**ours).log_in("jane", "password")
    assert "EncryptedAssertion" in idp.sent[-1]
    assert f"{XENC}tripledes-cbc" in idp.sent[-1]


def test_its_keys_roll_over(open_journey, idp):
    """The next one is announced in its metadata, and then signs."""
    idp.use("idp", "next")
    journey = open_journey()
    journey.log_in("jane", "password")
    idp.use("next")
    assert journey.log_in("jane", "password").claims["name"] == "Jane Döe & Co"


def test_a_key_that_it_has_not_announced_signs_nothing(open_journey, idp):
    journey = open_journey()
    journey.log_in("jane", "password")
    idp.config["key_file"] = str(idp.folder / "next.key")
    idp._reload()
    with pytest.raises(BrowserError, match="was not accepted"):
        journey.log_in("jane", "password")


# — in a real browser ------------------------------------------------------------------


async def test_in_chromium(open_journey, idp, example_app):
    """Its answer posts itself; then consent, claims and refreshes in the app."""
    asks = {"oauth2": {"skipApprovalScreen": False}}
    idp.options["session_not_on_or_after"] = _in_hours(8)
    journey = await asyncio.to_thread(open_journey, asks)
    async with example_app(journey, [idp.url]) as app:
        page = await app.begin()
        await page.fill("input[name=username]", "jane")
        await page.fill("input[name=password]", "wrong")
        await page.get_by_role("button", name="Log in").click()
        await page.get_by_text("Wrong.").wait_for()
        await page.fill("input[name=username]", "jane")
        await page.fill("input[name=password]", "password")
        await page.get_by_role("button", name="Log in").click()
        await app.agree()
        claims = await app.claims()
        assert claims["name"] == "Jane Döe & Co"
        assert claims["groups"] == '["admins", "devs"]'
        assert await app.refresh() == "The tokens are new."
        assert (await app.claims())["groups"] == '["admins", "devs"]'
        journey.clock.advance(9 * HOUR)
        assert "invalid_grant" in await app.refresh()
