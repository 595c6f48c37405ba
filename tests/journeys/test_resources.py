"""Access tokens for APIs: asked for, agreed to, narrowed, checked (RFC 8707, 9068)."""

import json

import pytest

from dexcore.jose import b64decode

API, MAIL, BOX = "https://api.example.com/", "https://mail.example.com/", "urn:box"
CALLBACK = "http://127.0.0.1:5555/callback"
APP = ("example-app", "a-secret-of-the-example-app")
OTHER = ("other-app", "a-secret-of-the-other-app")
SERVER = ("mail-server", "a-secret-of-the-mail-server")
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
TYPE = "urn:ietf:params:oauth:token-type:"
CONFIG = """
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
oauth2:
  skipApprovalScreen: %s
  passwordConnector: pw
  grantTypes: [authorization_code, refresh_token, password, client_credentials,
    'urn:ietf:params:oauth:grant-type:token-exchange',
    'urn:ietf:params:oauth:grant-type:device_code']
connectors:
- {type: mockPassword, id: pw, name: Passwords, config: {username: jane, password: fox}}
- {type: mockCallback, id: up, name: Up, grantTypes: [%s]}
staticClients:
- id: example-app
  redirectURIs: ['http://127.0.0.1:5555/callback', /dex/device/callback]
  name: Example App
  secret: a-secret-of-the-example-app
- id: other-app
  redirectURIs: ['http://127.0.0.1:5555/callback']
  name: Other App
  secret: a-secret-of-the-other-app
- id: mail-server
  redirectURIs: []
  name: Mail Server
  secret: a-secret-of-the-mail-server
resources:
- {id: 'https://api.example.com/', name: The API}
- id: https://mail.example.com/
  name: Your mail
  clients: [example-app]
  scopes: [openid, email]
  tokenLifetime: 5m
  servers: [mail-server]
- {id: 'urn:box', clients: [other-app]}
"""


@pytest.fixture
async def world(make_world):
    return await make_world(CONFIG % ("true", f"'{EXCHANGE}'"))


@pytest.fixture
async def asking(make_world):
    """A provider with sessions, which asks end users and remembers what they said."""
    text = CONFIG % ("false", f"'{EXCHANGE}'") + "sessions: {}\n"
    return await make_world(text, environ={"DEX_SESSIONS_ENABLED": "true"})


def parsed(answer):
    assert answer.status == 200, answer.text
    return json.loads(answer.text)


def error(answer):
    return json.loads(answer.text)["error"]


def header(token):
    return json.loads(b64decode(token.partition(".")[0]))


async def told(world, *resources, **changes):
    """Return the tokens of a login that asks for *resources*."""
    return await world.tokens(resource=[*resources], **changes)


# — the token --------------------------------------------------------------------------


async def test_a_token_is_for_the_resource_and_says_so(world):
    """T-JWT-11."""
    tokens = await told(world, API)
    claims = await world.claims(tokens["access_token"])
    identity = await world.claims(tokens["id_token"])
    assert header(tokens["access_token"])["typ"] == "at+jwt"
    assert "typ" not in header(tokens["id_token"])
    assert identity["aud"] == "example-app"
    assert claims == {
        "iss": world.issuer,
        "sub": identity["sub"],
        "aud": API,
        "exp": claims["iat"] + 86400,
        "iat": identity["iat"],
        "jti": claims["jti"],
        "client_id": "example-app",
        "scope": "openid email profile groups offline_access",
        "auth_time": identity["auth_time"],
        "email": "kilgore@kilgore.trout",
        "email_verified": True,
        "name": "Kilgore Trout",
    }
    assert claims["jti"] != identity["jti"]


async def test_a_token_for_two_carries_what_both_may_see_as_long_as_both_allow(world):
    tokens = await told(world, API, MAIL)
    claims = await world.claims(tokens["access_token"])
    assert claims["aud"] == [API, MAIL]
    assert claims["scope"] == "openid email"
    assert claims["exp"] == claims["iat"] + 300
    assert tokens["expires_in"] == 299
    assert "name" not in claims
    assert "name" in await world.claims(tokens["id_token"])


async def test_a_login_without_resource_is_as_ever(world):
    plain = await world.tokens()
    claims = await world.claims(plain["access_token"])
    assert header(plain["access_token"]).keys() == {"alg", "kid"}
    assert claims["aud"] == "example-app"
    assert not {"client_id", "scope", "cnf"} & claims.keys()
    assert plain["token_type"] == "bearer"


async def test_where_no_resource_is_known_the_parameter_is_as_good_as_none(make_world):
    world = await make_world()
    tokens = await told(world, API, "not a URI")
    assert (await world.claims(tokens["access_token"]))["aud"] == "example-app"
    again = parsed(await world.refresh(tokens["refresh_token"], resource=MAIL))
    assert (await world.claims(again["access_token"]))["aud"] == "example-app"


# — who may ask ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        "https://unknown.example.com/",
        "https://api.example.com",
        BOX,
        "/api",
        API + "#a",
    ],
    ids=["unknown", "almost", "of another client", "relative", "fragment"],
)
async def test_no_login_begins_for_what_the_client_may_not_have(world, asked):
    answer = await world.ask(world.browser(), resource=[API, asked])
    assert answer.params["error"] == "invalid_target"
    assert answer.params["state"] == "xyz"
    robot = await world.post(
        "/dex/token", grant_type="client_credentials", resource=asked
    )
    assert (robot.status, error(robot)) == (400, "invalid_target")


async def test_what_the_file_has_taken_away_is_refused_from_then_on(world, make_world):
    code = await world.code(resource=[BOX], client_id="other-app")
    tokens = parsed(await world.exchange(code, auth=OTHER))
    taken = CONFIG.replace("'urn:box', clients: [other-app]", "'urn:box', clients: []")
    later = await make_world(taken % ("true", f"'{EXCHANGE}'"))
    for kind in ("refresh_tokens", "offline_sessions", "supplements"):
        for record in await getattr(world.storage, kind).list():
            await getattr(later.storage, kind).create(record)
    answer = await later.refresh(tokens["refresh_token"], auth=OTHER)
    assert (answer.status, error(answer)) == (400, "invalid_target")


# — less of it -------------------------------------------------------------------------


async def test_a_code_can_be_traded_for_less_and_refreshed_for_all(world):
    code = await world.code(resource=[API, MAIL])
    first = parsed(await world.exchange(code, resource=MAIL))
    assert (await world.claims(first["access_token"]))["aud"] == MAIL
    second = parsed(await world.refresh(first["refresh_token"], resource=API))
    assert (await world.claims(second["access_token"]))["aud"] == API
    third = parsed(await world.refresh(second["refresh_token"]))
    assert (await world.claims(third["access_token"]))["aud"] == [API, MAIL]


async def test_less_for_once_is_not_less_for_ever(world):
    tokens = await told(world, API, MAIL)
    for _ in range(2):
        tokens = parsed(await world.refresh(tokens["refresh_token"], resource=MAIL))
        assert (await world.claims(tokens["access_token"]))["aud"] == MAIL
    [kept] = await world.storage.supplements.list()
    assert kept.extras.resources == (API, MAIL)


@pytest.mark.parametrize("nothing", [" ", ["", ""], ["", " "]])
async def test_naming_nothing_does_not_make_the_token_one_for_everything(
    world, nothing
):
    code = await world.code(resource=API)
    refused = await world.exchange(code, resource=nothing)
    assert (refused.status, error(refused)) == (400, "invalid_target")
    tokens = parsed(await world.exchange(code))
    refused = await world.refresh(tokens["refresh_token"], resource=nothing)
    assert (refused.status, error(refused)) == (400, "invalid_target")
    began = await world.ask(world.browser(), resource=nothing)
    assert began.params["error"] == "invalid_target"


async def test_a_code_is_not_spent_on_more_than_was_granted(world):
    code = await world.code(resource=[API])
    answer = await world.exchange(code, resource=MAIL)
    assert (answer.status, error(answer)) == (400, "invalid_target")
    tokens = parsed(await world.exchange(code))
    assert (await world.claims(tokens["access_token"]))["aud"] == API
    wider = await world.refresh(tokens["refresh_token"], resource=MAIL)
    assert (wider.status, error(wider)) == (400, "invalid_target")
    assert (await world.refresh(tokens["refresh_token"])).status == 200


async def test_what_nobody_was_asked_about_cannot_be_had_for_a_code(world):
    answer = await world.exchange(await world.code(), resource=API)
    assert (answer.status, error(answer)) == (400, "invalid_target")


# — the other grants -------------------------------------------------------------------


async def test_a_robot_gets_a_token_for_a_resource(world):
    got = parsed(
        await world.post(
            "/dex/token", grant_type="client_credentials", resource=API, scope="groups"
        )
    )
    claims = await world.claims(got["access_token"])
    assert (claims["aud"], claims["client_id"]) == (API, "example-app")
    assert claims["scope"] == "groups"


async def test_a_password_gets_a_token_for_a_resource_and_refreshes_it(world):
    got = parsed(
        await world.post(
            "/dex/token",
            grant_type="password",
            username="jane",
            password="fox",
            scope="openid offline_access",
            resource=API,
        )
    )
    assert (await world.claims(got["access_token"]))["aud"] == API
    again = parsed(await world.refresh(got["refresh_token"]))
    assert (await world.claims(again["access_token"]))["aud"] == API


async def test_a_token_of_upstream_becomes_one_for_a_resource(world):
    form = {
        "grant_type": EXCHANGE,
        "connector_id": "up",
        "subject_token": "x",
        "subject_token_type": TYPE + "id_token",
        "scope": "openid email",
        "resource": MAIL,
    }
    got = parsed(await world.post("/dex/token", **form))
    assert (await world.claims(got["access_token"]))["aud"] == MAIL
    assert got["expires_in"] == 299
    answer = await world.post(
        "/dex/token", **form, requested_token_type=TYPE + "id_token"
    )
    assert (answer.status, error(answer)) == (400, "invalid_target")


async def test_a_device_gets_a_token_for_a_resource(world):
    begun = parsed(
        await world.post(
            "/dex/device/code", scope="openid offline_access", resource=MAIL
        )
    )
    browser = world.browser()
    page = (await browser.get("/dex/device")).forms[0]
    entered = page["fields"] | {"user_code": begun["user_code"]}
    form = await browser.follow(await browser.post(page["action"], data=entered))
    asked = await browser.follow(
        await browser.post(form.url, data={"login": "jane", "password": "fox"})
    )
    assert "Use Your mail for you" in asked.text
    yes = asked.forms[0]
    landed = await browser.post(yes["action"], data=yes["fields"])
    assert (await browser.follow(landed)).status == 200
    code = begun["device_code"]
    poll = {"grant_type": DEVICE, "device_code": code}
    refused = await world.post("/dex/token", **poll, resource=API)
    assert error(refused) == "invalid_target"
    got = parsed(await world.post("/dex/token", **poll))
    assert (await world.claims(got["access_token"]))["aud"] == MAIL
    again = parsed(await world.refresh(got["refresh_token"]))
    assert (await world.claims(again["access_token"]))["aud"] == MAIL


async def test_a_device_begins_nothing_for_what_its_client_may_not_have(world):
    answer = await world.post("/dex/device/code", resource=BOX)
    assert (answer.status, error(answer)) == (400, "invalid_target")


# — who agrees -------------------------------------------------------------------------


async def agree(browser, landed):
    asked = await browser.follow(landed)
    yes = asked.forms[0]
    return asked.text, await browser.post(yes["action"], data=yes["fields"])


async def test_the_end_user_is_asked_and_asked_again_for_another(asking):
    browser = asking.browser()
    landed = await asking.log_in(browser, resource=[API], scope="openid")
    text, landed = await agree(browser, landed)
    assert "Use The API for you" in text
    assert "code" in landed.params
    same = await asking.ask(browser, resource=[API], scope="openid", prompt="none")
    assert "code" in same.params
    less = await asking.ask(browser, scope="openid", prompt="none")
    assert "code" in less.params
    more = await asking.ask(
        browser, resource=[API, MAIL], scope="openid", prompt="none"
    )
    assert more.params["error"] == "consent_required"


async def test_who_chooses_again_asks_for_the_same_resource(make_world):
    text = CONFIG % ("true", "authorization_code")
    world = await make_world(text)
    browser = world.browser()
    chosen = (await world.form(browser, resource=[API, MAIL])).links
    (link,) = [each for each in chosen if "/auth/pw" in each]
    form = await browser.follow(await browser.get(link))
    (back,) = [each for each in form.links if "back=" in each]
    again = (await browser.follow(await browser.get(back))).links
    (link,) = [each for each in again if "/auth/pw" in each]
    form = await browser.follow(await browser.get(link))
    landed = await browser.post(form.url, data={"login": "jane", "password": "fox"})
    tokens = parsed(await world.exchange(landed.params["code"]))
    assert (await world.claims(tokens["access_token"]))["aud"] == [API, MAIL]


# — who looks at it --------------------------------------------------------------------


async def test_userinfo_refuses_a_token_for_somebody_else(world):
    """T-UI-01."""
    answer = await world.userinfo((await told(world, API))["access_token"])
    assert (answer.status, error(answer)) == (401, "invalid_token")


async def test_userinfo_takes_a_token_that_is_for_us_too(world):
    tokens = await told(world, API, world.issuer)
    claims = parsed(await world.userinfo(tokens["access_token"]))
    assert claims["sub"] == (await world.claims(tokens["id_token"]))["sub"]
    alone = await told(world, world.issuer)
    assert (await world.userinfo(alone["access_token"])).status == 200


async def test_what_was_asked_for_one_by_one_is_told_at_userinfo_alone(world):
    claims = json.dumps({"userinfo": {"email": None}})
    asked = {"scope": "openid", "claims": claims}
    tokens = await told(world, world.issuer, API, **asked)
    answer = parsed(await world.userinfo(tokens["access_token"]))
    assert answer["email"] == "kilgore@kilgore.trout"
    elsewhere = await told(world, API, **asked)
    assert "email" not in await world.claims(elsewhere["access_token"])


async def test_what_was_asked_for_one_by_one_is_not_told_to_who_may_not_see_it(world):
    """The token for both may carry only the claims of ``openid`` and ``email``."""
    asked = json.dumps({"userinfo": {"email": None, "groups": None, "name": None}})
    tokens = await told(world, MAIL, world.issuer, claims=asked, scope="openid")
    claims = await world.claims(tokens["access_token"])
    assert claims["email"] == "kilgore@kilgore.trout"
    assert not {"groups", "name"} & claims.keys()


async def test_introspection_tells_whom_a_token_is_for(world):
    token = (await told(world, MAIL))["access_token"]
    about = await world.introspect(token)
    assert about["active"] is True
    assert (about["aud"], about["client_id"]) == (MAIL, "example-app")
    assert about["scope"] == "openid email"
    assert await world.introspect(token, auth=SERVER) == about
    assert await world.introspect(token, auth=OTHER) == {"active": False}
    elsewhere = (await told(world, API))["access_token"]
    assert await world.introspect(elsewhere, auth=SERVER) == {"active": False}


async def test_a_client_gives_its_token_for_a_resource_back(world):
    token = (await told(world, MAIL))["access_token"]
    for auth in (SERVER, OTHER):
        await world.post("/dex/token/revoke", token=token, auth=auth)
        assert (await world.introspect(token))["active"] is True
    await world.post("/dex/token/revoke", token=token)
    assert await world.introspect(token) == {"active": False}


async def test_a_token_for_a_resource_is_no_hint(world):
    token = (await told(world, API))["access_token"]
    answer = await world.ask(world.browser(), id_token_hint=token)
    assert answer.params["error"] == "invalid_request"
