"""As whom each client knows an end user, wherever it hears of them."""

import asyncio
import hashlib
import hmac
import json
import secrets

from urllib.parse import parse_qs

import attrs
import pytest

from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from dexcore import hookimpl
from dexcore.connector import (
    ConnectorType,
    Identity,
    PasswordConnector,
    RefreshConnector,
    TokenIdentityConnector,
)
from dexcore.jose import b64encode
from dexcore.oauth2.subjects import encode_subject
from dexcore.storage import Client
from dexcore.testing.client_key import ClientKey

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
KEY = ClientKey()
TYPE = "urn:ietf:params:oauth:token-type:"
SALT = "a-salt-that-all-replicas-have-in-their-file"
SECRET = "a-secret-that-all-of-the-clients-share"
KINDS = (
    *("dex", "plain", "claim:email", "claim:preferred_username"),
    *("pairwise", "hashed"),
)
CONFIG = """
issuer: http://127.0.0.1:5556/dex
storage: %(storage)s
web: {http: 127.0.0.1:5556}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
sessions: {ssoSharedWithDefault: all}
subjects: {salt: %(salt)s}
oauth2:
  skipApprovalScreen: true
  passwordConnector: people
  responseTypes: [code, token, id_token]
  grantTypes: [authorization_code, implicit, refresh_token, password,
    client_credentials, 'urn:ietf:params:oauth:grant-type:device_code',
    'urn:ietf:params:oauth:grant-type:token-exchange',
    'urn:ietf:params:oauth:grant-type:jwt-bearer']
  jwtBearer:
    trustedIssuers:
    - {issuer: 'https://idp.example', connectorID: people, jwks: %(jwks)s}
resources: [{id: 'urn:api'}]
connectors:
- {type: people, id: people, name: People}
staticClients:
"""
CLIENT = """
- id: %(id)s
  name: The App
  secret: a-secret-that-all-of-the-clients-share
  redirectURIs: ['https://%(id)s.example/cb', '/dex/device/callback']
  backchannelLogoutURI: '%(hook)s/%(id)s'
  metadata: {%(metadata)s}
"""
JANE = Identity(
    "jane-id",
    username="Jane",
    preferred_username="jane",
    email="jane@example.com",
    email_verified=True,
    connector_data=b"remember me",
)
# Who is let in by which name; the password is the name.
PEOPLE = {
    "jane": JANE,
    "joe": attrs.evolve(
        JANE, user_id="joe-id", preferred_username="joe", email="joe@example.com"
    ),
    "nameless": attrs.evolve(JANE, user_id="x", preferred_username="", email=""),
    "unverified": attrs.evolve(JANE, user_id="y", email_verified=False),
    "foreign": attrs.evolve(JANE, user_id="jörg", preferred_username="jörg"),
    "endless": attrs.evolve(JANE, user_id="z" * 256, preferred_username="z" * 256),
    "tabbed": attrs.evolve(JANE, user_id="a\tb", preferred_username="a\tb"),
    "forger": attrs.evolve(
        JANE, user_id="f", preferred_username=encode_subject("jane-id", "people")
    ),
    "hasher": attrs.evolve(JANE, user_id="h", preferred_username="k" * 43),
}


class People(PasswordConnector, RefreshConnector, TokenIdentityConnector):
    """Everybody's password, and token, is their name."""

    async def login(self, scopes, username, password):
        return PEOPLE[username] if username == password else None

    async def token_identity(self, token_type, token):
        return PEOPLE[token]

    async def refresh(self, scopes, identity):
        return identity


@attrs.frozen
class Nothing:
    """No options."""


class Plugin:
    @hookimpl
    def dex_connector_types(self):
        async def open_people(config, context):
            return People()

        return [ConnectorType("people", Nothing, open_people)]


class Provider:
    """A provider with one client of each kind, and what they do."""

    def __init__(self, world, told):
        self.world, self.told = world, told

    async def log_in(self, client_id, who="jane", browser=None, **changes):
        """Return what the browser is answered after the password."""
        asked = {"scope": "openid email offline_access"} | changes
        return await self.world.log_in(
            browser, login=who, password=who, **self.at(client_id), **asked
        )

    async def tokens(self, client_id, who="jane", browser=None, **changes):
        landed = await self.log_in(client_id, who, browser, **changes)
        return await self.trade(client_id, landed)

    async def trade(self, client_id, landed):
        assert "code" in landed.params, landed.params
        return answered(
            await self.world.exchange(
                landed.params["code"],
                redirect_uri=self.at(client_id)["redirect_uri"],
                auth=(client_id, SECRET),
            )
        )

    async def silently(self, browser, client_id, **changes):
        asked = self.at(client_id) | {"scope": "openid", "prompt": "none"} | changes
        return await self.world.ask(browser, **asked)

    async def sub(self, token):
        return (await self.world.claims(token))["sub"]

    async def sub_for(self, client_id, who="jane"):
        return await self.sub((await self.tokens(client_id, who))["id_token"])

    async def refresh(self, client_id, token):
        got = await self.world.refresh(token, auth=(client_id, SECRET))
        return answered(got)

    async def log_out(self, browser, **params):
        return await browser.get("/dex/logout", params=params)

    def at(self, client_id):
        uri = f"https://{client_id}.example/cb"
        return {"client_id": client_id, "redirect_uri": uri}


def answered(answer):
    assert answer.status == 200, answer.text
    return json.loads(answer.text)


def client(id, metadata, hook="http://127.0.0.1:1"):
    return CLIENT % {"id": id, "metadata": metadata, "hook": hook}


def slug(kind):
    return kind.replace(":", "-").replace("_", "-")


def expected(kind, user_id="jane-id", sector=None):
    """Return the subject, computed as docs/subjects.md says."""
    if kind == "dex":
        return encode_subject(user_id, "people")
    if kind == "plain":
        return user_id
    if kind.startswith("claim:"):
        return {"email": "jane@example.com", "preferred_username": "jane"}[kind[6:]]
    message = field(2, user_id) + field(3, "people")
    if kind == "pairwise":
        message = field(1, sector or "pairwise.example") + message
    return b64encode(hmac.digest(SALT.encode(), message, hashlib.sha256))


def field(number, text):
    return bytes((number << 3 | 2, len(text))) + text.encode()


@pytest.fixture
async def hook():
    """An app that logouts are announced to, as ``(client id, form)``."""
    told = asyncio.Queue()

    async def hear(request):
        form = parse_qs(await request.text())
        await told.put((request.match_info["client"], form["logout_token"][0]))
        return web.Response()

    app = web.Application()
    app.router.add_post("/{client}", hear)
    server = TestServer(app)
    await server.start_server()
    yield str(server.make_url("")).rstrip("/"), told
    await server.close()


@pytest.fixture
async def make(make_world, tmp_path, hook):
    """Start a provider with these clients; all of them share one database."""
    url, told = hook

    async def make(clients=None, *, salt=SALT, file="", change=("", "")):
        clients = clients or {slug(kind): f"subject: '{kind}'" for kind in KINDS}
        storage = {"type": "memory"}
        if file:
            storage = {"type": "sqlite3", "config": {"file": str(tmp_path / file)}}
        filled = {"storage": storage, "salt": salt, "jwks": KEY.jwks}
        filled = {name: json.dumps(value) for name, value in filled.items()}
        text = CONFIG % filled + "".join(
            client(id, metadata, url) for id, metadata in clients.items()
        )
        world = await make_world(text.replace(*change), Plugin())
        return Provider(world, told)

    return make


@pytest.fixture
async def op(make):
    return await make()


# — One name everywhere ----------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_all_that_comes_of_a_login_calls_the_user_by_one_name(op, kind):
    """T-UI-01; OpenID Connect Core sections 5.3.2 and 12.2."""
    world, client_id = op.world, slug(kind)
    tokens = await op.tokens(client_id)
    fresh = await op.refresh(client_id, tokens["refresh_token"])
    again = await op.refresh(client_id, fresh["refresh_token"])
    heard = [
        await op.sub(each[token])
        for each in (tokens, fresh, again)
        for token in ("id_token", "access_token")
    ]
    for each in (tokens, again):
        heard.append(json.loads((await world.userinfo(each["access_token"])).text))
    for token in (again["access_token"], again["refresh_token"]):
        heard.append(await world.introspect(token, auth=(client_id, SECRET)))
    named = [each if isinstance(each, str) else each["sub"] for each in heard]
    assert named == [expected(kind)] * 10


@pytest.mark.parametrize("kind", KINDS)
async def test_every_other_grant_calls_the_user_by_the_same_name(op, kind):
    world, auth = op.world, (slug(kind), SECRET)
    answers = [
        await world.post(
            "/dex/token",
            auth=auth,
            grant_type="password",
            username="jane",
            password="jane",
            scope=scope,
        )
        for scope in ("openid", "openid offline_access")
    ]
    answers += [
        await world.post(
            "/dex/token",
            auth=auth,
            grant_type=EXCHANGE,
            connector_id="people",
            subject_token="jane",
            subject_token_type=TYPE + "id_token",
            requested_token_type=TYPE + requested,
        )
        for requested in ("id_token", "access_token")
    ]
    got = [answered(answer) for answer in answers]
    got.append(await op.refresh(slug(kind), got[1]["refresh_token"]))
    subs = [await op.sub(each["access_token"]) for each in got]
    subs += [await op.sub(each["id_token"]) for each in got if "id_token" in each]
    assert subs == [expected(kind)] * 8


async def asserted(op, client_id, who="jane"):
    """Bring an assertion of a trusted issuer; return the answer."""
    now = int(op.world.clock().timestamp())
    person = PEOPLE[who]
    said = {
        "iss": "https://idp.example",
        "sub": person.user_id,
        "aud": op.world.issuer,
        "client_id": client_id,
        "jti": "an-assertion",
        "iat": now,
        "exp": now + 60,
        "email": person.email,
        "email_verified": person.email_verified,
        "preferred_username": person.preferred_username,
    }
    return await op.world.post(
        "/dex/token",
        auth=(client_id, SECRET),
        grant_type=JWT_BEARER,
        assertion=KEY.sign(said, typ="oauth-id-jag+jwt"),
        scope="email",
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_an_assertion_calls_the_user_by_the_same_name(op, kind):
    tokens = answered(await asserted(op, slug(kind)))
    assert await op.sub(tokens["access_token"]) == expected(kind)


@pytest.mark.parametrize("kind", KINDS)
async def test_tokens_that_go_by_the_browser_call_the_user_by_the_same_name(op, kind):
    landed = await op.log_in(slug(kind), response_type="code id_token token")
    traded = await op.trade(slug(kind), landed)
    for tokens in (landed.params, traded):
        assert await op.sub(tokens["id_token"]) == expected(kind)
        assert await op.sub(tokens["access_token"]) == expected(kind)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_token_for_an_api_calls_the_user_by_the_same_name(op, kind):
    tokens = await op.tokens(slug(kind), resource="urn:api")
    claims = await op.world.claims(tokens["access_token"])
    assert (claims["aud"], claims["sub"]) == ("urn:api", expected(kind))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_device_calls_the_user_by_the_same_name(op, kind):
    world, auth = op.world, (slug(kind), SECRET)
    told = answered(
        await world.post(
            "/dex/device/code", auth=auth, scope="openid email offline_access"
        )
    )
    browser = world.browser()
    page = (await browser.get("/dex/device")).forms[0]
    fields = page["fields"] | {"user_code": told["user_code"]}
    form = await browser.follow(await browser.post(page["action"], data=fields))
    asked = await browser.follow(
        await browser.post(form.url, data={"login": "jane", "password": "jane"})
    )
    yes = asked.forms[0]
    await browser.follow(await browser.post(yes["action"], data=yes["fields"]))
    tokens = answered(
        await world.post(
            "/dex/token",
            auth=auth,
            grant_type=DEVICE,
            device_code=told["device_code"],
        )
    )
    fresh = await op.refresh(slug(kind), tokens["refresh_token"])
    for each in (tokens, fresh):
        assert await op.sub(each["id_token"]) == expected(kind)
        assert await op.sub(each["access_token"]) == expected(kind)


async def test_consent_and_a_request_too_large_for_a_cookie_change_no_name(make):
    op = await make({"app": "subject: plain"}, change=("skipApprovalScreen: true", ""))
    browser, state = op.world.browser(), secrets.token_urlsafe(4000)
    asked = await browser.follow(
        await op.log_in("app", browser=browser, state=state, response_mode="query")
    )
    yes = asked.forms[0]
    landed = await browser.post(yes["action"], data=yes["fields"])
    tokens = await op.trade("app", await browser.follow(landed))
    assert await op.sub(tokens["id_token"]) == "jane-id"
    assert await op.world.storage.supplements.list() != []


async def test_a_browser_cannot_go_back_to_before_it_had_a_subject(make):
    """Whoever keeps the cookie of before their login is not known by dex's name."""
    op = await make({"app": "subject: plain"}, change=("skipApprovalScreen: true", ""))
    browser = op.world.browser()
    asked = op.at("app") | {"state": secrets.token_urlsafe(4000)}
    form = await op.world.form(browser, scope="openid email", **asked)
    [(name, before)] = flow_cookies(browser)
    asked = await browser.post(form.url, data={"login": "jane", "password": "jane"})
    [(_, after)] = flow_cookies(browser)
    assert before != after
    jar = browser.session.cookie_jar
    here = URL(op.world.base + "/dex/")
    jar.update_cookies({name: before}, here)
    assert jar.filter_cookies(here / "approval")[name].value == before
    page = await browser.follow(asked)
    assert page.status == 401
    jar.update_cookies({name: after}, here)
    assert (await browser.follow(asked)).forms


def flow_cookies(browser):
    return [
        (cookie.key, cookie.value)
        for cookie in browser.session.cookie_jar
        if cookie.key.startswith("dexcore_flow_")
    ]


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_is_kept_beside_the_login_of_a_client_of_dex(op, kind):
    await op.tokens(slug(kind))
    kept = [each.extras.subject for each in await op.world.storage.supplements.list()]
    assert kept == ([] if kind == "dex" else [expected(kind)])  # the refresh token's


async def test_a_client_itself_is_no_user(op):
    """Its subject is dex's, whatever the kind: no user can have it."""
    for kind in KINDS:
        answer = await op.world.post(
            "/dex/token", auth=(slug(kind), SECRET), grant_type="client_credentials"
        )
        token = answered(answer)["access_token"]
        assert await op.sub(token) == encode_subject(slug(kind), "")


# — A client names its user ------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_finds_the_session_by_its_own_token(op, kind):
    browser, client_id = op.world.browser(), slug(kind)
    hint = (await op.tokens(client_id, browser=browser))["id_token"]
    found = await op.silently(browser, client_id, id_token_hint=hint)
    assert await op.sub((await op.trade(client_id, found))["id_token"]) == expected(
        kind
    )
    others = (await op.tokens(client_id, "joe"))["id_token"]
    missed = await op.silently(browser, client_id, id_token_hint=others)
    assert missed.params["error"] == "login_required"


@pytest.mark.parametrize("kind", KINDS)
async def test_who_logs_in_must_be_who_the_token_names(op, kind):
    hint = (await op.tokens(slug(kind)))["id_token"]
    right = await op.log_in(slug(kind), id_token_hint=hint)
    assert "code" in right.params
    wrong = await op.log_in(slug(kind), "joe", id_token_hint=hint)
    assert wrong.params["error"] == "login_required"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_may_ask_for_its_user_by_name(op, kind):
    """OpenID Connect Core section 5.5.1."""
    browser, client_id = op.world.browser(), slug(kind)
    await op.tokens(client_id, browser=browser)
    found = await op.silently(browser, client_id, claims=who(expected(kind)))
    assert "code" in found.params
    other = "hashed" if kind != "hashed" else "dex"
    missed = await op.silently(browser, client_id, claims=who(expected(other)))
    assert missed.params["error"] == "login_required"
    refused = await op.log_in(client_id, "joe", claims=who(expected(kind)))
    assert refused.params["error"] == "login_required"


def who(sub):
    return json.dumps({"id_token": {"sub": {"value": sub}}})


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_logs_its_user_out_and_hears_of_it_by_the_same_name(op, kind):
    """T-LO-03, T-BCL-01."""
    browser, client_id = op.world.browser(), slug(kind)
    hint = (await op.tokens(client_id, browser=browser))["id_token"]
    others = (await op.tokens(client_id, "joe"))["id_token"]
    asked = await op.log_out(browser, id_token_hint=others)
    assert "You are logged out" not in asked.text
    page = await op.log_out(browser, id_token_hint=hint, logout_hint=expected(kind))
    assert "You are logged out" in page.text
    heard, token = await op.told.get()
    assert heard == client_id
    assert await op.sub(token) == expected(kind)


async def test_a_logout_hint_is_what_the_client_calls_the_user(op):
    browser = op.world.browser()
    hint = (await op.tokens("pairwise", browser=browser))["id_token"]
    asked = await op.log_out(
        browser, id_token_hint=hint, logout_hint=expected("hashed")
    )
    assert "You are logged out" not in asked.text


async def test_a_logout_token_names_the_session_if_the_user_has_gone(op):
    browser = op.world.browser()
    tokens = await op.tokens("claim-email", browser=browser)
    claims = await op.world.claims(tokens["id_token"])
    session = (await op.world.storage.auth_sessions.list())[0]
    await op.world.storage.user_identities.delete("jane-id", "people")
    await op.world.server.sessions.account.ending.end(session.id, "Gone.")
    told = await op.world.claims((await op.told.get())[1])
    assert "sub" not in told
    assert told["sid"] == claims["sid"]


# — Apart ------------------------------------------------------------------------------


async def test_two_clients_cannot_tell_that_their_users_are_one(make):
    """Core section 8.1."""
    op = await make({name: "subject_type: pairwise" for name in ("one", "two")})
    one, two = await op.sub_for("one"), await op.sub_for("two")
    assert one == expected("pairwise", sector="one.example")
    assert two == expected("pairwise", sector="two.example")
    assert len({one, two, await op.sub_for("one", "joe")}) == 3
    # They are no longer, and no more telling, than any other.
    assert {len(one), len(two)} == {43}


async def test_clients_of_one_sector_know_a_user_by_one_name(make):
    metadata = "subject_type: pairwise, sector_identifier_uri: 'https://%s/uris.json'"
    op = await make(
        {
            "one": metadata % "group.example",
            "two": metadata % "GROUP.example:8443",
            "three": metadata % "other.example",
        }
    )
    one, two, three = [await op.sub_for(name) for name in ("one", "two", "three")]
    assert one == two == expected("pairwise", sector="group.example")
    assert three != one


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "dex"])
async def test_a_token_of_another_client_names_nobody(op, kind):
    """Core section 8.1: it must not learn whether both mean the same person."""
    browser = op.world.browser()
    for other in ("dex", "pairwise", "hashed", "plain"):
        if other == kind:
            continue
        hint = (await op.tokens(other, browser=browser, prompt="login"))["id_token"]
        refused = await op.silently(browser, slug(kind), id_token_hint=hint)
        assert refused.params["error"] == "invalid_request"
    refused = await op.log_in(slug(kind), id_token_hint=hint, prompt="login")
    assert refused.params["error"] == "invalid_request"


async def test_pairwise_tokens_of_two_clients_cannot_be_swapped(make):
    op = await make({name: "subject_type: pairwise" for name in ("one", "two")})
    browser = op.world.browser()
    hint = (await op.tokens("one", browser=browser))["id_token"]
    assert "code" in (await op.silently(browser, "two")).params
    refused = await op.silently(browser, "two", id_token_hint=hint)
    assert refused.params["error"] == "invalid_request"


async def test_clients_of_dex_may_go_on_sharing_tokens_as_hints(make):
    op = await make({"one": "", "two": ""})
    browser = op.world.browser()
    hint = (await op.tokens("one", browser=browser))["id_token"]
    assert "code" in (await op.silently(browser, "two", id_token_hint=hint)).params


async def test_a_pairwise_token_is_no_hint_of_a_client_of_dex(op):
    browser = op.world.browser()
    hint = (await op.tokens("pairwise", browser=browser))["id_token"]
    missed = await op.silently(browser, "dex", id_token_hint=hint)
    assert missed.params["error"] == "login_required"


async def test_a_token_for_two_clients_has_the_subject_of_the_one_that_asks(make):
    op = await make(
        {"one": "subject: plain", "two": "subject: hashed"},
        change=("- id: two\n", "- id: two\n  trustedPeers: [one]\n"),
    )
    scope = "openid audience:server:client_id:two"
    tokens = await op.tokens("one", scope=scope)
    claims = await op.world.claims(tokens["id_token"])
    assert (claims["aud"], claims["azp"]) == (["two", "one"], "one")
    assert claims["sub"] == "jane-id"
    # The other reads in an introspection what it could read in the token.
    told = await op.world.introspect(tokens["access_token"], auth=("two", SECRET))
    assert (told["active"], told["sub"]) == (True, "jane-id")
    # It names nobody to the other one.
    refused = await op.silently(
        op.world.browser(), "two", id_token_hint=tokens["id_token"]
    )
    assert refused.params["error"] == "invalid_request"


async def test_discovery_names_both_subject_types(op):
    """T-DISC-03."""
    found = await op.world.browser().get("/dex/.well-known/openid-configuration")
    assert json.loads(found.text)["subject_types_supported"] == ["public", "pairwise"]


# — Those who have no such name --------------------------------------------------------

UNFIT = [
    ("claim:email", "nameless", "has none"),
    ("claim:email", "unverified", "not verified"),
    ("claim:preferred_username", "nameless", "has none"),
    ("claim:preferred_username", "foreign", "not in ASCII"),
    ("claim:preferred_username", "endless", "too long"),
    ("claim:preferred_username", "tabbed", "not in ASCII"),
    ("claim:preferred_username", "forger", "cannot be used"),
    ("claim:preferred_username", "hasher", "cannot be used"),
    ("plain", "foreign", "not in ASCII"),
    ("plain", "endless", "too long"),
]


@pytest.mark.parametrize(("kind", "name", "why"), UNFIT)
async def test_a_client_gets_nobody_it_cannot_know(op, caplog, kind, name, why):
    """Core section 2: never an empty ``sub``, never one that is none."""
    world, client_id = op.world, slug(kind)
    caplog.set_level("INFO")
    refused = await op.log_in(client_id, name)
    assert refused.params["error"] == "access_denied"
    assert why in refused.params["error_description"]
    assert "login refused" in caplog.text
    by_password = await world.post(
        "/dex/token",
        auth=(client_id, SECRET),
        grant_type="password",
        username=name,
        password=name,
        scope="openid offline_access",
    )
    by_token = await world.post(
        "/dex/token",
        auth=(client_id, SECRET),
        grant_type=EXCHANGE,
        connector_id="people",
        subject_token=name,
        subject_token_type=TYPE + "id_token",
    )
    by_assertion = await asserted(op, client_id, name)
    assert json.loads(by_assertion.text)["error"] == "invalid_grant"
    for answer, status, error in (
        (by_password, 400, "invalid_grant"),
        (by_token, 401, "access_denied"),
    ):
        told = json.loads(answer.text)
        assert (answer.status, told["error"]) == (status, error)
        assert why in told["error_description"]
    assert await world.storage.refresh_tokens.list() == []


async def test_a_session_of_somebody_the_client_cannot_know_is_not_for_it(op):
    browser = op.world.browser()
    await op.tokens("dex", "nameless", browser=browser)
    missed = await op.silently(browser, "claim-email")
    assert missed.params["error"] == "login_required"
    # Somebody else may log in.
    assert "code" in (await op.log_in("claim-email", "joe", browser)).params


async def test_strict_servers_refuse_such_a_token_in_the_words_of_rfc_8693(make):
    op = await make(change=("subjects:", "compat: strict\nsubjects:"))
    answer = await op.world.post(
        "/dex/token",
        auth=("plain", SECRET),
        grant_type=EXCHANGE,
        connector_id="people",
        subject_token="foreign",
        subject_token_type=TYPE + "id_token",
    )
    assert (answer.status, json.loads(answer.text)["error"]) == (400, "invalid_request")


async def test_a_client_without_a_sector_gets_nobody(make):
    """One of the storage, which no file could refuse; the default is pairwise."""
    op = await make(change=("subjects: {", "subjects: {default: pairwise, "))
    dex = await op.world.storage.clients.get("dex")
    uris = ("https://stored.example/cb", "https://other.example/cb")
    stored = attrs.evolve(dex, id="stored", redirect_uris=uris)
    fields = {each.name: getattr(stored, each.name) for each in attrs.fields(Client)}
    await op.world.storage.clients.create(Client(**fields))
    refused = await op.log_in("stored")
    assert refused.params["error"] == "access_denied"
    assert "sector_identifier_uri" in refused.params["error_description"]


# — The default, and the salt ----------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "kind"),
    [
        ("", "pairwise"),
        ("subject: hashed", "hashed"),
        ("subject: dex", "dex"),
        ("subject_type: public", "dex"),
        ("subject_type: pairwise", "pairwise"),
        ("previous_subjects: [dex]", "pairwise"),
    ],
)
async def test_clients_that_say_nothing_get_the_default(make, metadata, kind):
    op = await make(
        {"app": metadata}, change=("subjects: {", "subjects: {default: pairwise, ")
    )
    assert await op.sub_for("app") == expected(kind, sector="app.example")


async def test_a_client_of_public_subjects_gets_a_public_default(make):
    op = await make(
        {"app": "subject_type: public"},
        change=("subjects: {", "subjects: {default: hashed, "),
    )
    assert await op.sub_for("app") == expected("hashed")


@pytest.mark.parametrize("kind", ["pairwise", "hashed"])
async def test_subjects_survive_a_move_with_their_salt(make, kind):
    one, other = await make(), await make()
    assert await one.sub_for(kind) == await other.sub_for(kind) == expected(kind)


@pytest.mark.parametrize("kind", ["pairwise", "hashed"])
async def test_replicas_agree_without_a_salt_in_the_file(make, kind):
    one = await make(salt="", file="dex.db")
    other = await make(salt="", file="dex.db")
    elsewhere = await make(salt="")
    first = await one.sub_for(kind)
    assert await other.sub_for(kind) == first
    assert len({first, await elsewhere.sub_for(kind), expected(kind)}) == 3


# — From one kind to another -----------------------------------------------------------

CHANGES = [
    ("dex", "plain"),
    ("dex", "pairwise"),
    ("plain", "dex"),
    ("pairwise", "hashed"),
    ("claim:email", "pairwise"),
]


async def changed(make, before, after, *, previous=True):
    """Return the provider before and after, and what is told of both subjects."""
    told = f", previous_subjects: ['{before}']" if previous else ""
    one = await make({"app": f"subject: '{before}'"}, file="dex.db")
    two = await make({"app": f"subject: '{after}'{told}"}, file="dex.db")
    sector = "app.example"
    return one, two, expected(before, sector=sector), expected(after, sector=sector)


def moved(browser, op):
    """Let the browser go to the other provider, with all its cookies."""
    browser.base = op.world.base
    return browser


@pytest.mark.parametrize(("before", "after"), CHANGES)
async def test_a_refresh_token_keeps_the_subject_it_began_with(make, before, after):
    """Core section 12.2, with and without a word of what was before."""
    one, two, old, new = await changed(make, before, after, previous=False)
    tokens = await one.tokens("app")
    for _ in range(2):
        tokens = await two.refresh("app", tokens["refresh_token"])
        for token in ("id_token", "access_token"):
            assert await two.sub(tokens[token]) == old
    told = await two.world.introspect(tokens["refresh_token"], auth=("app", SECRET))
    assert told["sub"] == old
    assert await two.sub_for("app") == new


@pytest.mark.parametrize(("before", "after"), CHANGES)
async def test_a_code_that_was_under_way_keeps_its_subject(make, before, after):
    one, two, old, _ = await changed(make, before, after)
    landed = await one.log_in("app")
    tokens = await two.trade("app", landed)
    assert await two.sub(tokens["id_token"]) == old


@pytest.mark.parametrize(("before", "after"), CHANGES)
async def test_while_the_change_runs_a_token_of_before_is_a_hint(make, before, after):
    one, two, old, new = await changed(make, before, after)
    browser = one.world.browser()
    hint = (await one.tokens("app", browser=browser))["id_token"]
    assert await one.sub(hint) == old
    found = await two.silently(moved(browser, two), "app", id_token_hint=hint)
    fresh = (await two.trade("app", found))["id_token"]
    assert await two.sub(fresh) == new
    again = await two.silently(browser, "app", id_token_hint=fresh)
    assert "code" in again.params
    right = await two.log_in("app", id_token_hint=hint)
    assert "code" in right.params
    wrong = await two.log_in("app", "joe", id_token_hint=hint)
    assert wrong.params["error"] == "login_required"


async def test_who_is_asked_for_by_the_name_of_before_is_not_told_by_the_new(make):
    """Core section 5.5.1: the ``sub`` must be the one that is asked for."""
    one, two, old, new = await changed(make, "dex", "hashed")
    browser = one.world.browser()
    await one.tokens("app", browser=browser)
    missed = await two.silently(moved(browser, two), "app", claims=who(old))
    assert missed.params["error"] == "login_required"
    assert "code" in (await two.silently(browser, "app", claims=who(new))).params


@pytest.mark.parametrize(("before", "after"), CHANGES)
async def test_while_the_change_runs_a_token_of_before_logs_out(make, before, after):
    one, two, _, _ = await changed(make, before, after)
    browser = one.world.browser()
    hint = (await one.tokens("app", browser=browser))["id_token"]
    page = await two.log_out(moved(browser, two), id_token_hint=hint)
    assert "You are logged out" in page.text
    # The client may know the user by either name, so only the session is named.
    told = await two.world.claims((await two.told.get())[1])
    assert "sub" not in told
    assert told["sid"] == (await one.world.claims(hint))["sid"]


async def test_when_the_change_is_over_a_token_of_before_is_none(make):
    one, two, _, _ = await changed(make, "dex", "pairwise", previous=False)
    browser = one.world.browser()
    hint = (await one.tokens("app", browser=browser))["id_token"]
    missed = await two.silently(moved(browser, two), "app", id_token_hint=hint)
    assert missed.params["error"] == "login_required"
    asked = await two.log_out(browser, id_token_hint=hint)
    assert "You are logged out" not in asked.text


async def test_the_default_may_change_too(make):
    change = ("subjects: {", "subjects: {default: hashed, previous: [dex], ")
    one = await make({"app": ""}, file="dex.db")
    two = await make({"app": ""}, change=change, file="dex.db")
    browser = one.world.browser()
    tokens = await one.tokens("app", browser=browser)
    found = await two.silently(
        moved(browser, two), "app", id_token_hint=tokens["id_token"]
    )
    fresh = await two.trade("app", found)
    assert await two.sub(fresh["id_token"]) == expected("hashed")
    kept = await two.refresh("app", tokens["refresh_token"])
    assert await two.sub(kept["id_token"]) == expected("dex")


async def test_who_lacks_the_claim_of_before_is_still_known(make):
    op = await make({"app": "subject: hashed, previous_subjects: ['claim:email']"})
    assert await op.sub_for("app", "nameless") == expected("hashed", "x")
