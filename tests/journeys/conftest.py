"""A whole provider on a loopback port, a browser, and a client that talks to both."""

from __future__ import annotations

import base64
import hashlib

from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from urllib.parse import parse_qs, urljoin, urlsplit

import aiohttp
import pytest

from aiohttp.test_utils import TestServer

from dexcore import plugins
from dexcore.config import loads
from dexcore.jose import b64decode, verify_with_jwks
from dexcore.server.app import open_server

CALLBACK = "http://127.0.0.1:5555/callback"
VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123"
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest())
    .rstrip(b"=")
    .decode()
)

CONFIG = """
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
oauth2: {skipApprovalScreen: true}
connectors:
- {type: mockPassword, id: pw, name: Passwords, config: {username: jane, password: fox}}
staticClients:
- id: example-app
  redirectURIs: ['http://127.0.0.1:5555/callback', 'https://app.example/cb?keep=1']
  name: Example App
  secret: a-secret-of-the-example-app
- id: other-app
  redirectURIs: ['http://127.0.0.1:5555/other']
  name: Other App
  secret: a-secret-of-the-other-app
  trustedPeers: [example-app]
- id: native
  public: true
  name: Native App
"""


SESSIONS = """
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
oauth2: {skipApprovalScreen: true}
sessions: {}
connectors:
- {type: mockPassword, id: pw, name: Passwords, config: {username: jane, password: fox}}
staticClients:
- id: example-app
  redirectURIs: ['http://127.0.0.1:5555/callback']
  name: Example App
  secret: a-secret-of-the-example-app
  ssoSharedWith: [other-app]
- id: other-app
  redirectURIs: ['http://127.0.0.1:5555/callback']
  name: Other App
  secret: a-secret-of-the-other-app
  ssoSharedWith: [third-app]
- id: third-app
  redirectURIs: ['http://127.0.0.1:5555/callback']
  name: Third App
  secret: a-secret-of-the-third-app
  ssoSharedWith: []
"""
SECRETS = {
    "example-app": "a-secret-of-the-example-app",
    "other-app": "a-secret-of-the-other-app",
    "third-app": "a-secret-of-the-third-app",
}
# Without offline_access, which a session need not be good for.
SSO_SCOPE = "openid email profile"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self):
        self.moment = datetime.now(UTC)

    def __call__(self):
        return self.moment

    def advance(self, **by):
        self.moment += timedelta(**by)


class Forms(HTMLParser):
    """The forms of a page: action, method and fields."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.links = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "form":
            self.found.append(
                {"action": attrs.get("action", ""), "fields": {}, "buttons": []}
            )
        elif tag in ("input", "button") and self.found and attrs.get("name"):
            form = self.found[-1]
            form["fields"][attrs["name"]] = attrs.get("value", "")
        elif tag == "a":
            self.links.append(attrs.get("href", ""))


class Answer:
    """A response, read."""

    def __init__(self, base, response, text):
        self.base = base
        self.status = response.status
        self.headers = response.headers
        self.url = str(response.url)
        self.text = text

    @property
    def location(self):
        """Where the browser goes; the issuer is found on the port it has here."""
        found = urljoin(self.url, self.headers["Location"])
        return found.replace("http://127.0.0.1:5556/", f"{self.base}/", 1)

    @property
    def params(self):
        """The parameters that go to the client, whichever way."""
        if "Location" not in self.headers:
            return self.forms[0]["fields"]
        parts = urlsplit(self.location)
        found = parse_qs(parts.fragment or parts.query, keep_blank_values=True)
        return {name: values[0] for name, values in found.items()}

    @property
    def mode(self):
        """The ``response_mode`` by which they go."""
        if "Location" not in self.headers:
            return "form_post"
        return "fragment" if urlsplit(self.location).fragment else "query"

    @property
    def forms(self):
        return Forms(self.text).found

    @property
    def links(self):
        return Forms(self.text).links


class Browser:
    """Keeps cookies; follows no redirect unless told to."""

    def __init__(self, base):
        self.base = base
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def get(self, url, **kwargs):
        return await self._send("GET", url, **kwargs)

    async def post(self, url, **kwargs):
        return await self._send("POST", url, **kwargs)

    async def _send(self, method, url, **kwargs):
        async with self.session.request(
            method, urljoin(self.base, url), allow_redirects=False, **kwargs
        ) as response:
            return Answer(self.base, response, (await response.read()).decode())

    async def follow(self, answer):
        """Go where redirects lead, as long as they stay with the provider."""
        while "Location" in answer.headers and answer.location.startswith(self.base):
            answer = await self.get(answer.location)
        return answer

    async def close(self):
        await self.session.close()


class World:
    """The provider, and shorthands for what clients and users do."""

    def __init__(self, server, base, clock):
        self.server, self.base, self.clock = server, base, clock
        self.storage = server.parts.storage
        self.issuer = server.parts.issuer.url
        self.browsers = []

    def browser(self):
        browser = Browser(self.base)
        self.browsers.append(browser)
        return browser

    def auth_params(self, **changes):
        params = {
            "client_id": "example-app",
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "scope": "openid email profile groups offline_access",
            "state": "xyz",
            "nonce": "n-0S6",
        } | changes
        return {name: value for name, value in params.items() if value is not None}

    async def ask(self, browser, path="/dex/auth", **changes):
        return await browser.get(path, params=self.auth_params(**changes))

    async def form(self, browser, **changes):
        """Go as far as the password form."""
        return await browser.follow(await self.ask(browser, **changes))

    async def log_in(self, browser=None, *, login="jane", password="fox", **changes):
        """Log in; return what the browser is answered."""
        browser = browser or self.browser()
        form = await self.form(browser, **changes)
        return await browser.post(form.url, data={"login": login, "password": password})

    async def code(self, **changes):
        landed = await self.log_in(**changes)
        assert landed.status == 303, landed.text
        return landed.params["code"]

    async def post(
        self,
        path,
        *,
        auth=("example-app", "a-secret-of-the-example-app"),
        browser=None,
        **form,
    ):
        headers = {"Authorization": aiohttp.encode_basic_auth(*auth)} if auth else {}
        browser = browser or self.browser()
        return await browser.post(path, data=form, headers=headers)

    async def exchange(self, code, **kwargs):
        form = {"redirect_uri": CALLBACK} | kwargs
        return await self.post(
            "/dex/token", grant_type="authorization_code", code=code, **form
        )

    async def tokens(self, **changes):
        """Log in and trade the code."""
        answer = await self.exchange(await self.code(**changes))
        assert answer.status == 200, answer.text
        return json(answer)

    async def refresh(self, token, **kwargs):
        return await self.post(
            "/dex/token", grant_type="refresh_token", refresh_token=token, **kwargs
        )

    async def introspect(self, token, **kwargs):
        return json(await self.post("/dex/token/introspect", token=token, **kwargs))

    async def userinfo(self, token):
        return await self.browser().get(
            "/dex/userinfo", headers={"Authorization": f"Bearer {token}"}
        )

    async def claims(self, token):
        keys = json(await self.browser().get("/dex/keys"))
        return verify_with_jwks(token, keys, ("RS256", "ES256", "EdDSA"))[0]

    # — with sessions ------------------------------------------------------------------

    async def logged_in(self, browser=None, **changes):
        """Log in; return the browser and what it was answered."""
        browser = browser or self.browser()
        landed = await self.log_in(browser, **{"scope": SSO_SCOPE} | changes)
        assert landed.status == 303, landed.text
        return browser, landed

    async def silently(self, browser, **changes):
        """Ask with ``prompt=none``."""
        return await self.ask(
            browser, **{"scope": SSO_SCOPE, "prompt": "none"} | changes
        )

    async def tokens_of(self, landed, client_id="example-app"):
        """Trade the code that *landed* carries."""
        assert "code" in landed.params, landed.location
        auth = (client_id, SECRETS[client_id])
        answer = await self.exchange(landed.params["code"], auth=auth)
        assert answer.status == 200, answer.text
        return json(answer)

    async def id_claims(self, landed, client_id="example-app"):
        """Trade the code that *landed* carries; return the claims of the ID token."""
        return await self.claims((await self.tokens_of(landed, client_id))["id_token"])

    async def close(self):
        for browser in self.browsers:
            await browser.close()


def json(answer):
    import json as stdlib

    return stdlib.loads(answer.text)


def header(token):
    return json_bytes(b64decode(token.partition(".")[0]))


def json_bytes(raw):
    import json as stdlib

    return stdlib.loads(raw)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def make_world(clock):
    """Start providers; ``await make_world(config_text, *extra_plugins)``."""
    opened = []

    async def make(text=CONFIG, *extra, environ=None):
        config = loads(text, environ=environ or {})
        server = await open_server(
            config, plugins.find(*extra), now=clock, environ=environ or {}
        )
        http = TestServer(server.web)
        await http.start_server()
        world = World(server, str(http.make_url("/")).rstrip("/"), clock)
        opened.append((world, http, server))
        return world

    yield make
    for world, http, server in opened:
        await world.close()
        await http.close()
        await server.close()


@pytest.fixture
async def world(make_world):
    return await make_world()


@pytest.fixture
def sso_config():
    """A configuration file with sessions."""
    return SESSIONS


@pytest.fixture
async def sso(make_world):
    """A provider with sessions."""
    return await make_world(SESSIONS)
