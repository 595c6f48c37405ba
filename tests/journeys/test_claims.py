"""What a client can ask to be told: the claims parameter, and what scopes tell.

OpenID Connect Core sections 5.1, 5.4 and 5.5.
"""

import json
import secrets

import pytest

from dexcore.testing.client_key import ClientKey

from .conftest import CALLBACK

KILGORE = {
    "given_name": "Kilgore",
    "family_name": "Trout",
    "birthdate": "1907",
    "picture": "https://kilgore.trout/picture.png",
    "updated_at": 1311280970,
    "address": {"locality": "Cohoes", "country": "US"},
    "phone_number": "+1 518 555 0100",
    "phone_number_verified": True,
}
PROFILE = {
    name: KILGORE[name]
    for name in ("given_name", "family_name", "birthdate", "picture", "updated_at")
}
PHONE = {
    "phone_number": "+1 518 555 0100",
    "phone_number_verified": True,
}
USER = {**KILGORE, "shoe_size": 44, "website": "javascript:alert(1)"}

# No longer scope than this one: what else is told was asked for one by one.
SCOPE = "openid"


def with_claims(text):
    config = json.dumps({"username": "jane", "password": "fox", "claims": USER})
    return text.replace("{username: jane, password: fox}", config)


@pytest.fixture
async def known(make_world, sso_config):
    """A provider without sessions that knows more of its user than a name."""
    return await make_world(with_claims(sso_config).replace("sessions: {}", ""))


@pytest.fixture
async def sessions(make_world, sso_config):
    """The same, with sessions."""
    return await make_world(with_claims(sso_config))


@pytest.fixture(params=[True, False], ids=["sessions", "no sessions"])
async def asking(request, make_world, sso_config):
    """The same, where the end user has to agree."""
    text = with_claims(sso_config).replace("skipApprovalScreen: true", "")
    return await make_world(text if request.param else text.replace("sessions: {}", ""))


def claims(**members):
    """*members* as the parameter; a list of names asks for each."""
    return json.dumps(
        {
            member: dict.fromkeys(asked) if isinstance(asked, list) else asked
            for member, asked in members.items()
        }
    )


async def told(world, landed):
    """Return what the ID token and what userinfo say, and the whole answer."""
    tokens = await world.tokens_of(landed)
    userinfo = json.loads((await world.userinfo(tokens["access_token"])).text)
    return await world.claims(tokens["id_token"]), userinfo, tokens


async def supplements(world):
    return await world.storage.supplements.list()


def further(found):
    return {name: value for name, value in found.items() if name in KILGORE}


# — by scope ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("openid", {}),
        ("openid email groups", {}),
        ("openid profile", PROFILE),
        ("openid address", {"address": KILGORE["address"]}),
        ("openid phone", PHONE),
        ("openid profile address phone", KILGORE),
    ],
)
async def test_a_scope_tells_its_standard_claims(known, scope, expected):
    """Core section 5.4: and nothing that is no standard claim, or cannot be one."""
    id_token, userinfo, _ = await told(known, await known.log_in(scope=scope))
    assert further(id_token) == further(userinfo) == expected
    assert not {"shoe_size", "website"} & {*id_token, *userinfo}


async def test_an_ordinary_login_has_nothing_beside_it(world):
    """The scopes ask for more than this connector knows."""
    landed = await world.log_in(scope="openid email profile address phone")
    assert len(landed.params["code"]) == 33
    assert await supplements(world) == []


async def test_a_login_that_is_not_asked_has_nothing_beside_it(known):
    landed = await known.log_in(scope="openid email groups offline_access")
    assert len(landed.params["code"]) == 33
    assert await supplements(known) == []


async def test_a_refreshed_token_tells_the_same(known):
    landed = await known.log_in(scope="openid profile phone offline_access")
    _, _, tokens = await told(known, landed)
    refreshed = json.loads((await known.refresh(tokens["refresh_token"])).text)
    assert further(await known.claims(refreshed["id_token"])) == PROFILE | PHONE
    narrowed = json.loads(
        (await known.refresh(refreshed["refresh_token"], scope="openid phone")).text
    )
    assert further(await known.claims(narrowed["id_token"])) == PHONE
    await known.post("/dex/token/revoke", token=narrowed["refresh_token"])
    assert await supplements(known) == []


async def test_a_refresh_tells_what_is_known_by_then(make_world, sso_config):
    """What upstream says anew takes the place of what it said at the login."""
    text = sso_config.replace(
        "{type: mockPassword, id: pw, name: Passwords, "
        "config: {username: jane, password: fox}}",
        "{type: mockCallback, id: up, name: Up, config: {acr: gold, claims: "
        "{given_name: Kilgore, nickname: KT}}}",
    )
    world = await make_world(text)
    browser = world.browser()
    landed = await browser.follow(
        await world.ask(
            browser,
            scope="openid profile offline_access",
            claims=claims(id_token=["acr"]),
        )
    )
    tokens = await world.tokens_of(landed)
    opened = world.server.parts.connectors.peek("up")
    changed = opened.connector.config.claims
    changed.pop("nickname")
    changed["given_name"] = "Philboyd"
    for _ in range(2):
        tokens = json.loads((await world.refresh(tokens["refresh_token"])).text)
        found = await world.claims(tokens["id_token"])
        assert found["given_name"] == "Philboyd"
        assert "nickname" not in found
        assert found["acr"] == "gold"
    kept = [each.extras.user for each in await supplements(world)]
    assert {"given_name": "Philboyd"} in kept


@pytest.mark.parametrize(
    ("more", "there"),
    [({}, {}), ({"claims": '{"id_token": {"phone_number": null}}'}, {"phone_number"})],
)
async def test_strictly_scopes_are_answered_by_userinfo(
    make_world, sso_config, more, there
):
    """Core section 5.4: what is wanted in the ID token is asked for one by one."""
    world = await make_world(with_claims(sso_config) + "compat: strict\n")
    landed = await world.log_in(scope="openid profile address phone", **more)
    id_token, userinfo, _ = await told(world, landed)
    assert further(userinfo) == KILGORE
    assert {*further(id_token)} == {*there}


async def test_a_token_by_the_browser_tells_the_same(make_world, sso_config):
    """Core sections 3.2 and 3.3: whatever way the tokens take."""
    world = await make_world(
        with_claims(sso_config).replace(
            "oauth2: {", "oauth2: {responseTypes: [code, id_token, token], "
        )
    )
    asked = claims(id_token=["given_name", "amr"], userinfo=["address"])
    landed = await world.log_in(
        scope=SCOPE, claims=asked, response_type="code id_token token"
    )
    assert landed.mode == "fragment"
    for tokens in (landed.params, await world.tokens_of(landed)):
        id_token = await world.claims(tokens["id_token"])
        assert further(id_token) == {"given_name": "Kilgore"}
        assert id_token["amr"] == ["pwd"]
        answer = await world.userinfo(tokens["access_token"])
        assert further(json.loads(answer.text)) == {"address": KILGORE["address"]}


# — one by one -------------------------------------------------------------------------


async def test_a_claim_is_told_where_it_is_asked_for(known):
    asked = claims(
        id_token=["given_name", "email"], userinfo=["phone_number", "groups", "name"]
    )
    landed = await known.log_in(scope=SCOPE, claims=asked)
    id_token, userinfo, _ = await told(known, landed)
    assert further(id_token) == {"given_name": "Kilgore"}
    assert id_token["email"] == "kilgore@kilgore.trout"
    assert not {"email_verified", "name", "phone_number"} & {*id_token}
    assert further(userinfo) == {"phone_number": "+1 518 555 0100"}
    assert userinfo["name"] == "Kilgore Trout"
    assert not {"email", "preferred_username", "given_name"} & {*userinfo}


async def test_what_is_not_known_is_left_out(known):
    """Core section 5.5.1: no error, also if it is essential."""
    asked = claims(
        id_token={
            "nickname": {"essential": True},
            "given_name": {"value": "Somebody Else"},
            "unheard_of": {"essential": True, "values": ["x", 1, None]},
        }
    )
    id_token, _, _ = await told(known, await known.log_in(scope=SCOPE, claims=asked))
    assert further(id_token) == {"given_name": "Kilgore"}
    assert not {"nickname", "unheard_of"} & {*id_token}


async def test_claims_that_are_the_servers_cannot_be_asked_to_be_others(known):
    forged = {
        name: {"essential": True, "value": "forged"}
        for name in ("iss", "aud", "exp", "nonce", "azp", "at_hash", "sid", "jti")
    }
    landed = await known.log_in(scope=SCOPE, claims=claims(id_token=forged))
    id_token, _, _ = await told(known, landed)
    assert "forged" not in id_token.values()
    assert id_token["iss"] == known.issuer


async def test_when_the_user_logged_in_is_always_said(known):
    asked = {"auth_time": {"essential": True}}
    landed = await known.log_in(
        scope=SCOPE, claims=claims(id_token=asked, userinfo=asked)
    )
    id_token, userinfo, _ = await told(known, landed)
    assert id_token["auth_time"] == userinfo["auth_time"]
    assert id_token["auth_time"] == int(known.clock.moment.timestamp())


async def test_a_refreshed_token_tells_what_was_asked_for(known):
    asked = claims(id_token=["email"], userinfo=["address"])
    landed = await known.log_in(scope="openid offline_access", claims=asked)
    _, _, tokens = await told(known, landed)
    tokens = json.loads((await known.refresh(tokens["refresh_token"])).text)
    id_token = await known.claims(tokens["id_token"])
    userinfo = json.loads((await known.userinfo(tokens["access_token"])).text)
    assert id_token["email"] == "kilgore@kilgore.trout"
    assert "address" not in id_token
    assert further(userinfo) == {"address": KILGORE["address"]}


@pytest.mark.parametrize(
    "wrong",
    ["x", "[]", "null", '{"id_token": 1}', '{"userinfo": {"name": 1}}'],
)
async def test_a_malformed_parameter_goes_back_to_the_client(known, wrong):
    refused = await known.ask(known.browser(), claims=wrong)
    assert refused.params["error"] == "invalid_request"
    assert refused.params["error_description"].startswith("The claims parameter ")
    assert refused.params["state"] == "xyz"


async def push(world, asked):
    return await world.post(
        "/dex/par",
        response_type="code",
        redirect_uri=CALLBACK,
        scope=SCOPE,
        claims=asked,
    )


async def test_a_request_that_is_pushed_may_ask_too(known):
    """RFC 9126."""
    pushed = json.loads((await push(known, claims(id_token=["given_name"]))).text)
    # What stands beside it does not count.
    landed = await known.log_in(
        request_uri=pushed["request_uri"], claims=claims(id_token=["address"])
    )
    id_token, _, _ = await told(known, landed)
    assert further(id_token) == {"given_name": "Kilgore"}


@pytest.mark.parametrize("wrong", ["[]", "{", " " * 8193, "[" * 8000])
async def test_a_malformed_parameter_is_refused_when_it_is_pushed(known, wrong):
    refused = await push(known, wrong)
    assert refused.status == 400
    assert json.loads(refused.text)["error"] == "invalid_request"


async def test_a_request_object_may_ask_too(make_world, sso_config):
    """RFC 9101: there the parameter is an object and no text."""
    key = ClientKey("ES256")
    metadata = f"  metadata: {json.dumps({'jwks': key.jwks})}\n"
    world = await make_world(
        with_claims(sso_config).replace(
            "  name: Example App\n", f"  name: Example App\n{metadata}"
        )
    )
    now = int(world.clock().timestamp())
    said = {"iss": "example-app", "aud": world.issuer, "iat": now, "exp": now + 60}

    def signed(asked):
        return key.sign(said | {"claims": asked}, typ="oauth-authz-req+jwt")

    wanted = signed({"id_token": {"given_name": None}})
    landed = await world.log_in(scope=SCOPE, request=wanted)
    assert further(await world.id_claims(landed)) == {"given_name": "Kilgore"}
    for wrong in ({"id_token": 7}, {"id_token": {"acr": {"values": "x"}}}):
        refused = await world.ask(world.browser(), scope=SCOPE, request=signed(wrong))
        assert refused.params["error"] == "invalid_request"


async def test_a_request_too_large_for_a_cookie_asks_for_the_same(known):
    asked = claims(id_token=["given_name"])
    landed = await known.log_in(
        scope=SCOPE, claims=asked, state=secrets.token_urlsafe(4000)
    )
    id_token, _, _ = await told(known, landed)
    assert further(id_token) == {"given_name": "Kilgore"}
    assert await supplements(known) == []


async def test_choosing_again_asks_for_the_same(make_world, sso_config):
    world = await make_world(
        with_claims(sso_config).replace(
            "staticClients:",
            "- {type: mockCallback, id: up, name: Up}\nstaticClients:",
        )
    )
    browser = world.browser()
    asked = claims(id_token=["given_name"])
    form = await world.form(
        browser, scope=SCOPE, connector_id="pw", claims=asked, ui_locales="de"
    )
    [back] = [link for link in form.links if link.startswith("/dex/auth?back=")]
    page = await browser.get(back)
    [again] = [link for link in page.links if link.startswith("/dex/auth/pw?")]
    assert "ui_locales=de" in again
    form = await browser.follow(await browser.get(again))
    landed = await browser.post(form.url, data={"login": "jane", "password": "fox"})
    assert further(await world.id_claims(landed)) == {"given_name": "Kilgore"}


async def test_what_only_the_grammar_of_pages_could_use_is_ignored(known):
    """Core section 3.1.2.1: display, claims_locales, languages we do not speak."""
    form = await known.form(
        known.browser(), display="wap", claims_locales="x", ui_locales="tlh <b> de"
    )
    assert form.status == 200
    assert '<html lang="en">' in form.text


# — whom the client expects ------------------------------------------------------------


async def test_nobody_is_let_in_but_whom_the_client_asks_for(sessions):
    """Core section 5.5.1: sub with a value is whom the client means."""
    browser, landed = await sessions.logged_in()
    sub = (await sessions.id_claims(landed))["sub"]
    mine = claims(id_token={"sub": {"value": sub}})
    several = claims(userinfo={"sub": {"values": ["another", sub]}})
    for asked in (mine, several):
        assert "code" in (await sessions.silently(browser, claims=asked)).params
    other = claims(id_token={"sub": {"essential": True, "value": "another"}})
    refused = await sessions.silently(browser, claims=other)
    assert refused.params["error"] == "login_required"
    _, refused = await sessions.logged_in(claims=other)
    assert refused.params["error"] == "login_required"
    assert "code" not in refused.params


async def test_the_hint_and_the_parameter_must_both_be_right(sessions):
    browser, landed = await sessions.logged_in()
    hint = (await sessions.tokens_of(landed))["id_token"]
    other = claims(id_token={"sub": {"value": "another"}})
    refused = await sessions.silently(browser, claims=other, id_token_hint=hint)
    assert refused.params["error"] == "login_required"


# — what the end user agrees to --------------------------------------------------------


async def page_of(browser, landed):
    page = await browser.follow(landed)
    assert "Grant access" in page.text, page.text
    return page


async def agree(browser, page):
    form = page.forms[0]
    return await browser.post(
        form["action"], data={**form["fields"], "approval": "approve"}
    )


async def test_the_user_sees_what_is_asked_for_one_by_one(asking):
    """T-CONSENT-02."""
    browser = asking.browser()
    asked = claims(
        id_token=["email", "acr", "sub", "unheard_of"],
        userinfo=["email_verified", "phone_number", "family_name", "federated_claims"],
    )
    landed = await asking.log_in(browser, scope=SCOPE, claims=asked)
    page = await page_of(browser, landed)
    shown = [line for line in page.text.split("\n") if line.startswith("<li>")]
    assert shown == [
        "<li>View your email address</li>",
        "<li>View your phone number</li>",
        "<li>View your family name</li>",
        "<li>View your user id at the identity provider you log in with</li>",
    ]
    id_token, userinfo, _ = await told(asking, await agree(browser, page))
    assert id_token["email"] == "kilgore@kilgore.trout"
    assert further(userinfo) == {
        "family_name": "Trout",
        "phone_number": "+1 518 555 0100",
    }


async def test_what_a_scope_shows_already_is_shown_once(asking):
    browser = asking.browser()
    asked = claims(id_token=["email", "given_name", "address"])
    landed = await asking.log_in(
        browser, scope="openid profile email address phone", claims=asked
    )
    page = await page_of(browser, landed)
    shown = [line for line in page.text.split("\n") if line.startswith("<li>")]
    assert shown == [
        "<li>View basic profile information</li>",
        "<li>View your email address</li>",
        "<li>View your postal address</li>",
        "<li>View your phone number</li>",
    ]


async def test_who_does_not_agree_tells_nothing(asking):
    browser = asking.browser()
    landed = await asking.log_in(
        browser, scope=SCOPE, claims=claims(id_token=["email"])
    )
    page = await page_of(browser, landed)
    refused = await browser.post(
        page.forms[1]["action"],
        data={**page.forms[1]["fields"], "approval": "rejected"},
    )
    assert refused.params["error"] == "access_denied"


@pytest.fixture
async def remembering(make_world, sso_config):
    text = with_claims(sso_config).replace("skipApprovalScreen: true", "")
    return await make_world(text)


async def test_who_has_agreed_is_asked_for_more_claims(remembering):
    """T-CONSENT-02."""
    browser = remembering.browser()
    email = claims(id_token=["email"])
    landed = await remembering.log_in(browser, scope=SCOPE, claims=email)
    assert "code" in (await agree(browser, await page_of(browser, landed))).params
    silent = await remembering.silently(browser, scope=SCOPE, claims=email)
    assert "code" in silent.params
    elsewhere = claims(userinfo=["email"])
    silent = await remembering.silently(browser, scope=SCOPE, claims=elsewhere)
    assert "code" in silent.params
    for more in (
        {"scope": SCOPE, "claims": claims(id_token=["email", "phone_number"])},
        {"scope": SCOPE, "claims": claims(id_token=["email_verified"])},
        {"scope": "openid email"},
    ):
        refused = await remembering.silently(browser, **more)
        assert refused.params["error"] == "consent_required", more


async def test_who_has_agreed_to_a_scope_has_to_its_claims(remembering):
    browser = remembering.browser()
    landed = await remembering.log_in(browser, scope="openid profile")
    assert "code" in (await agree(browser, await page_of(browser, landed))).params
    part = claims(id_token=["given_name", "name"])
    silent = await remembering.silently(browser, scope=SCOPE, claims=part)
    assert further(await remembering.id_claims(silent)) == {"given_name": "Kilgore"}


# — sessions ---------------------------------------------------------------------------


async def test_a_session_tells_what_its_login_told(sessions):
    """Also what the client of that login did not ask for."""
    browser, landed = await sessions.logged_in(scope="openid")
    assert further(await sessions.id_claims(landed)) == {}
    silent = await sessions.silently(
        browser, scope="openid phone", claims=claims(id_token=["given_name"])
    )
    id_token = await sessions.id_claims(silent)
    assert further(id_token) == {"given_name": "Kilgore"} | PHONE


async def test_what_a_session_knows_goes_with_it(sessions):
    browser, _ = await sessions.logged_in(scope="openid")
    _, landed = await sessions.logged_in(browser, scope="openid", prompt="login")
    assert len(await supplements(sessions)) == 1
    [session] = await sessions.storage.auth_sessions.list()
    tokens = await sessions.tokens_of(landed)
    page = await browser.get(
        "/dex/logout", params={"id_token_hint": tokens["id_token"]}
    )
    assert page.status in (200, 303)
    assert await sessions.storage.auth_sessions.list() == []
    assert await supplements(sessions) == []
    assert session.secret.endswith("1")


async def test_a_session_that_has_lost_what_it_knew_is_none(sessions):
    """Better another login than a login that tells less than it should."""
    browser, _ = await sessions.logged_in(scope="openid")
    [kept] = await supplements(sessions)
    await sessions.storage.supplements.delete(kept.id)
    refused = await sessions.silently(browser, scope="openid")
    assert refused.params["error"] == "login_required"


async def test_an_ordinary_session_has_nothing_beside_it(sso):
    browser, _ = await sso.logged_in()
    silent = await sso.silently(browser)
    assert len(silent.params["code"]) == 33
    [session] = await sso.storage.auth_sessions.list()
    assert len(session.secret) == 33
    assert await supplements(sso) == []


# — other ways to tokens ---------------------------------------------------------------

GRANTS = """oauth2:
  skipApprovalScreen: true
  passwordConnector: pw
  grantTypes: [authorization_code, refresh_token, password,
    "urn:ietf:params:oauth:grant-type:token-exchange"]"""


@pytest.fixture
async def granting(make_world, sso_config):
    up = {"type": "mockCallback", "id": "up", "name": "Up", "config": {"claims": USER}}
    text = with_claims(sso_config).replace("oauth2: {skipApprovalScreen: true}", GRANTS)
    return await make_world(
        text.replace("staticClients:", f"- {json.dumps(up)}\nstaticClients:")
    )


async def test_a_password_tells_what_its_scopes_ask_for(granting):
    answer = await granting.post(
        "/dex/token",
        grant_type="password",
        username="jane",
        password="fox",
        scope="openid phone offline_access",
    )
    tokens = json.loads(answer.text)
    assert further(await granting.claims(tokens["id_token"])) == PHONE
    refreshed = json.loads((await granting.refresh(tokens["refresh_token"])).text)
    assert further(await granting.claims(refreshed["id_token"])) == PHONE
    plain = await granting.post(
        "/dex/token",
        grant_type="password",
        username="jane",
        password="fox",
        scope="openid phone",
    )
    id_token = await granting.claims(json.loads(plain.text)["id_token"])
    assert further(id_token) == PHONE


async def test_an_exchanged_token_tells_what_its_scopes_ask_for(granting):
    kind = "urn:ietf:params:oauth:token-type:"
    answer = await granting.post(
        "/dex/token",
        grant_type="urn:ietf:params:oauth:grant-type:token-exchange",
        connector_id="up",
        subject_token="anything",
        subject_token_type=f"{kind}access_token",
        requested_token_type=f"{kind}id_token",
        scope="openid address",
    )
    id_token = await granting.claims(json.loads(answer.text)["access_token"])
    assert further(id_token) == {"address": KILGORE["address"]}


# — what is advertised -----------------------------------------------------------------


async def test_discovery_says_what_can_be_asked_for(known):
    """T-DISC-03."""
    answer = await known.browser().get("/dex/.well-known/openid-configuration")
    found = json.loads(answer.text)
    assert found["claims_parameter_supported"] is True
    assert {"address", "phone"} <= {*found["scopes_supported"]}
    assert {*KILGORE, "acr", "amr"} <= {*found["claims_supported"]}
    assert found["ui_locales_supported"] == ["en"]
    assert "acr_values_supported" not in found
