"""What is in ``examples/`` works as it stands."""

import asyncio
import importlib
import os
import re
import signal
import subprocess
import sys
import time

from pathlib import Path

import aiohttp
import attrs
import pytest
import yarl

from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from jwcrypto.jwk import JWK
from jwcrypto.jwt import JWT

from dexcore.config import load
from dexcore.testing.browser import Browser

EXAMPLES = Path(__file__).parent.parent / "examples"
SECRETS = {
    "APP_SECRET": "a third secret of more than sixteen characters",
    "LDAP_PASSWORD": "a password",
    "GRAFANA_SECRET": "a secret of more than sixteen characters",
    "WIKI_SECRET": "another secret of more than sixteen characters",
    "ADMIN_HASH": "$2b$10$gZEoeOgd11U7Qvzrjk2xnuDoEZ6dQtml2oOVvGhDiDbq0aL00EyYS",
}


# — Configuration files ----------------------------------------------------------------


@pytest.mark.parametrize(
    "file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda it: it.name
)
def test_every_example_configuration_is_right_and_warns_of_nothing(file, caplog):
    config = load(file, environ=SECRETS)

    assert config.issuer
    assert not caplog.records


def test_the_connector_of_the_directory_knows_its_options():
    file = EXAMPLES / "config-ldap.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "dexcore", "check", str(file)],
        env={**os.environ, **SECRETS},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "warning" not in done.stdout


def test_the_development_configuration_fits_the_app():
    config = load(EXAMPLES / "config-dev.yaml", environ={})
    (app, _) = config.static_clients

    assert config.issuer == "http://127.0.0.1:5556/dex"
    assert config.storage.config["file"] == "var/sqlite/dex.db"
    assert config.enable_signup
    assert config.enable_password_db
    assert (app.id, app.secret) == ("example-app", "ZXhhbXBsZS1hcHAtc2VjcmV0")
    assert app.redirect_uris == ("http://127.0.0.1:5555/callback",)


# — Both together ----------------------------------------------------------------------


def development(folder, issuer_port, telemetry_port, app):
    """Write the development configuration for other ports and another database."""
    text = (EXAMPLES / "config-dev.yaml").read_text("utf-8")
    app_port = app.rpartition(":")[2]
    ports = {"5555": app_port, "5556": issuer_port, "5558": telemetry_port}
    # All at once: a new port may begin like an old one.
    text = re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda old: str(ports[old[0]]), text)
    text = text.replace("var/sqlite/dex.db", str(folder / "new" / "dex.db"))
    file = folder / "config.yaml"
    file.write_text(text, "utf-8")
    return file


async def refused(url):
    async with aiohttp.ClientSession() as http:
        try:
            async with http.get(url):
                return False
        except aiohttp.ClientConnectorError:
            return True


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_one_command_serves_a_whole_login_and_stops_it(tmp_path, how):
    port = unused_port()
    app, issuer = f"http://127.0.0.1:{unused_port()}", f"http://127.0.0.1:{port}/dex"
    file = development(tmp_path, port, unused_port(), app)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(EXAMPLES / "serve.py"), str(file), "--app", app),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        told = await asyncio.wait_for(process.stdout.readuntil(b"stops both."), 60)
        reading = asyncio.create_task(process.stdout.read())
        assert app in told.decode()
        assert issuer in told.decode()
        await walk(app, issuer)
    finally:
        process.send_signal(how)
        code = await asyncio.wait_for(process.wait(), 60)
    await reading
    assert code == 0
    assert await refused(app)
    assert await refused(issuer)


async def walk(app, issuer):
    new = {"email": "New.User@Example.com", "username": "newuser"}
    async with aiohttp.ClientSession() as http:
        secret = {"password": "password123"}
        async with http.post(f"{issuer}/signup", json=new | secret) as answer:
            assert answer.status == 201
    # The app is where the walk begins, so nothing is elsewhere.
    async with Browser(stop_at="http://nowhere.example/") as browser:
        page = await browser.open(f"{app}/")
        page = await browser.submit(page, page.forms[0], {"more_scopes": "email"})
        page = await browser.choose(page, "local")
        page = await browser.enter(page, "new.user@example.com", "password123")
        page = await browser.decide(page, approve=True)
        for words in (
            "You are logged in",
            "Signature verified",
            "new.user@example.com",
        ):
            assert words in page.words
        for path, token, words in (
            ("/userinfo", None, "email_verified"),
            ("/introspect", "access_token", "active true"),
            ("/refresh", None, "The tokens are new."),
            ("/revoke", "refresh_token", "The refresh token is revoked."),
            ("/introspect", "refresh_token", "active false"),
            ("/refresh", None, "invalid_grant"),
            ("/logout", None, "Who are you?"),
        ):
            page = await press(browser, page, path, token)
            assert words in page.words, path


async def press(browser, page, path, token=None):
    (form,) = (
        form
        for form in page.forms
        if form.url.endswith(path) and form.sent_by(None).get("token") == token
    )
    return await browser.submit(page, form)


async def test_when_the_provider_cannot_start_the_app_does_not_stay(tmp_path):
    file = development(tmp_path, unused_port(), unused_port(), "http://127.0.0.1:5555")
    text = file.read_text("utf-8").replace("type: sqlite3", "type: nonsense")
    file.write_text(text, "utf-8")
    app = f"http://127.0.0.1:{unused_port()}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(EXAMPLES / "serve.py"), str(file), "--app", app),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.terminate()

    assert process.returncode == 1
    assert b"nonsense" in output
    assert await refused(app)


async def test_the_app_says_what_is_wrong_with_its_flags():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(EXAMPLES / "example_app"), "--listen", "https://x:1"),
        env={**os.environ, "EXAMPLE_APP_CLIENT_ID": "other"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 2
    assert b"--tls-cert" in errors


# — The app, and a provider that cheats ------------------------------------------------


@attrs.define
class Cheat:
    """A provider that logs everybody in, and does what a test tells it to."""

    issuer: str = ""
    claims: dict = attrs.field(factory=dict)
    answers: dict = attrs.field(factory=dict)
    metadata: dict = attrs.field(factory=dict)
    callback: dict = attrs.field(factory=dict)
    asked: list = attrs.field(factory=list)
    key: JWK = attrs.field(factory=lambda: JWK.generate(kty="EC", kid="one"))
    signing: JWK | None = None
    alg: str = "ES256"
    kid: str = "one"
    nonce: str = ""

    def app(self):
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self.discovery)
        app.router.add_get("/authorize", self.authorize)
        app.router.add_get("/keys", self.keys)
        for path in ("/token", "/userinfo", "/introspect", "/revoke"):
            app.router.add_route("*", path, self.answer)
        return app

    async def discovery(self, request):
        found = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"} | {
            f"{name}_endpoint": f"{self.issuer}/{path}"
            for name, path in (
                ("authorization", "authorize"),
                ("token", "token"),
                ("userinfo", "userinfo"),
                ("introspection", "introspect"),
                ("revocation", "revoke"),
            )
        }
        return web.json_response(found | self.metadata)

    async def keys(self, request):
        return web.json_response({"keys": [self.key.export_public(as_dict=True)]})

    async def authorize(self, request):
        self.asked.append(dict(request.query))
        self.nonce = request.query["nonce"]
        back = {"state": request.query["state"], "code": "c"} | self.callback
        url = yarl.URL(request.query["redirect_uri"])
        raise web.HTTPSeeOther(url.with_query(back))

    async def answer(self, request):
        form = dict(await request.post())
        self.asked.append(form | {"authorization": request.headers["Authorization"]})
        if request.path in self.answers:
            status, body = self.answers[request.path]
            return web.Response(status=status, body=body)
        if request.path == "/token":
            return web.json_response(
                {
                    "access_token": "an opaque token",
                    "id_token": self.id_token(),
                    "refresh_token": "r",
                    "token_type": "Bearer",
                }
            )
        return web.json_response({"sub": "jane", "active": True})

    def id_token(self):
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": "jane",
            "aud": "me",
            "exp": now + 600,
            "iat": now,
            "nonce": self.nonce,
            "name": "<b>Jane</b>",
        } | self.claims
        token = JWT(header={"alg": self.alg, "kid": self.kid}, claims=claims)
        token.make_signed_token(self.signing or self.key)
        return token.serialize()


@attrs.frozen
class Visitor:
    """Somebody who uses the app."""

    app: str
    http: aiohttp.ClientSession

    async def get(self, path="/"):
        async with self.http.get(self.app + path) as answer:
            return answer.status, await answer.text()

    async def press(self, path, **fields):
        _, page = await self.get()
        token = re.search(r'name="form_token" value="([^"]+)"', page)
        form = {"form_token": token[1] if token else "", **fields}
        async with self.http.post(self.app + path, data=form) as answer:
            return answer.status, await answer.text()


@pytest.fixture
async def cheat():
    cheat = Cheat()
    async with TestServer(cheat.app()) as server:
        cheat.issuer = str(server.make_url("")).rstrip("/")
        yield cheat


@pytest.fixture
async def visitor(cheat, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    provider = importlib.import_module("example_app.provider")
    make_app = importlib.import_module("example_app.app").make_app
    port = unused_port()
    url = f"http://127.0.0.1:{port}"
    client = provider.Client("me", "s:cret", f"{url}/callback")
    async with (
        provider.open_provider(cheat.issuer, client) as opened,
        TestServer(make_app(opened), port=port),
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
    ):
        yield Visitor(url, http)


async def test_the_app_asks_with_pkce_state_and_nonce(cheat, visitor):
    status, page = await visitor.press(
        "/login", scope="email", more_scopes="a b", connector_id="ldap"
    )
    sent, exchanged = cheat.asked

    assert status == 200
    assert "Signature verified" in page
    assert "&lt;b&gt;Jane&lt;/b&gt;" in page
    assert "<b>" not in page
    assert sent["scope"] == "openid email a b"
    assert sent["connector_id"] == "ldap"
    assert sent["code_challenge_method"] == "S256"
    assert len(sent["state"]) >= 32
    assert len(sent["nonce"]) >= 32
    assert len(exchanged["code_verifier"]) >= 43
    # RFC 6749 section 2.3.1: both are form-encoded first.
    assert exchanged["authorization"] == aiohttp.encode_basic_auth("me", "s%3Acret")


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"iss": "https://evil.example"}, "issued by somebody else"),
        ({"aud": "another"}, "for another client"),
        ({"aud": ["me", "x"], "azp": "x"}, "given to another client"),
        ({"exp": 1}, "expired"),
        ({"exp": "soon"}, "expired"),
        ({"nonce": "another"}, "another login"),
    ],
)
async def test_the_app_believes_no_id_token_that_is_not_for_it(
    cheat, visitor, claims, words
):
    cheat.claims = claims
    status, page = await visitor.press("/login")

    assert status == 400
    assert words in page
    assert "Log in" in (await visitor.get())[1]


async def test_the_app_believes_no_signature_of_a_stranger(cheat, visitor):
    cheat.signing = JWK.generate(kty="EC", kid="one")

    assert "cannot be verified" in (await visitor.press("/login"))[1]


async def test_the_app_believes_no_signature_made_with_a_public_key(cheat, visitor):
    cheat.signing, cheat.alg = JWK.generate(kty="oct", size=256, kid="one"), "HS256"

    assert "cannot be verified" in (await visitor.press("/login"))[1]


async def test_the_app_fetches_keys_again_when_the_provider_has_a_new_one(
    cheat, visitor
):
    await visitor.press("/login")
    cheat.key, cheat.kid = JWK.generate(kty="EC", kid="two"), "two"

    assert "The tokens are new." in (await visitor.press("/refresh"))[1]


async def test_a_login_that_another_browser_began_is_not_finished(cheat, visitor):
    await visitor.get()
    status, page = await visitor.get("/callback?code=c&state=stolen")

    assert status == 400
    assert "not begun in this browser" in page
    assert cheat.asked == []


async def test_a_login_is_finished_once(cheat, visitor):
    await visitor.press("/login")
    state = cheat.asked[0]["state"]
    status, _ = await visitor.get(f"/callback?code=c&state={state}")

    assert status == 400
    assert len(cheat.asked) == 2


@pytest.mark.parametrize(
    ("callback", "words"),
    [
        ({"error": "access_denied", "error_description": "No <b>."}, "No &lt;b&gt;."),
        ({"iss": "https://evil.example"}, "another provider"),
    ],
)
async def test_the_app_says_why_a_login_failed(cheat, visitor, callback, words):
    cheat.callback = callback

    assert words in (await visitor.press("/login"))[1]
    assert len(cheat.asked) == 1


@pytest.mark.parametrize("path", ["/login", "/refresh", "/revoke", "/logout"])
async def test_another_site_can_press_no_button(cheat, visitor, path):
    await visitor.press("/login")
    asked = len(cheat.asked)
    status, _ = await visitor.press(path, form_token="guessed")

    assert status == 403
    assert len(cheat.asked) == asked
    assert "Signature verified" in (await visitor.get())[1]


@pytest.mark.parametrize(
    "answer", [(500, b"oops"), (200, b"not json"), (200, b"[]"), (200, b"{}")]
)
async def test_a_provider_that_answers_nonsense_is_a_message(cheat, visitor, answer):
    await visitor.press("/login")
    cheat.answers = {"/userinfo": answer}
    status, page = await visitor.press("/userinfo")

    assert status == 200
    assert "That failed." in page


async def test_a_provider_that_speaks_for_another_is_not_believed(cheat, visitor):
    cheat.metadata = {"issuer": "https://evil.example"}
    status, page = await visitor.press("/login")

    assert status == 400
    assert "speaks for" in page


async def test_a_new_token_about_somebody_else_is_not_believed(cheat, visitor):
    await visitor.press("/login")
    cheat.claims = {"sub": "joe"}

    assert "about somebody else" in (await visitor.press("/refresh"))[1]


async def test_every_page_of_the_app_is_strict(visitor):
    for path in ("/", "/nothing", "/style.css"):
        async with visitor.http.get(visitor.app + path) as answer:
            policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script" not in policy
        assert "frame-ancestors 'none'" in policy
