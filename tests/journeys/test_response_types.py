"""What comes by the browser: codes and tokens, in every combination and every way."""

import json

import attrs
import pytest

from dexcore.jose import left_half_hash

from .conftest import CONFIG, SESSIONS, VERIFIER

TYPES = [
    "code",
    "id_token",
    "code token",
    "code id_token",
    "id_token token",
    "code id_token token",
]
MODES = ["query", "fragment", "form_post"]
ALL = "responseTypes: [code, id_token, token]"
FRONT = CONFIG.replace("oauth2: {", f"oauth2: {{{ALL}, ")
CHALLENGE = "v70ixSDfoBEDrDZV-0YABusoh_Ajp_a66XlJlwBHynw"


def usual(response_type):
    return "query" if response_type == "code" else "fragment"


def expected(response_type):
    """The parameters of a success, in the order they come in."""
    parts = response_type.split()
    return [
        *(["code"] if "code" in parts else []),
        *(["access_token", "token_type", "expires_in"] if "token" in parts else []),
        *(["id_token"] if "id_token" in parts else []),
        *("state", "iss"),
    ]


@pytest.fixture
async def front(make_world):
    return await make_world(FRONT)


async def discovered(world):
    path = "/dex/.well-known/openid-configuration"
    return json.loads((await world.browser().get(path)).text)


@pytest.fixture
def check_front(front):
    """Return what checks what a client must (Core 3.2.2.11, 3.3.2.12, 3.2.2.9)."""

    async def check(params, nonce="n-0S6"):
        claims = await front.claims(params["id_token"])
        assert claims["iss"] == front.issuer
        assert claims["aud"] == "example-app"
        assert claims["nonce"] == nonce
        assert "auth_time" in claims
        for name, of in (("at_hash", "access_token"), ("c_hash", "code")):
            if of in params:
                assert claims[name] == left_half_hash("ES256", params[of])
            else:
                assert name not in claims
        return claims

    return check


# — what works -------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [None, *MODES])
@pytest.mark.parametrize("response_type", TYPES)
async def test_every_response_type_is_answered_in_every_mode(
    front, check_front, response_type, mode
):
    """T-AZ-05, T-IDT-01."""
    landed = await front.log_in(
        response_type=response_type, response_mode=mode, state="a/b c&d=é+%2F"
    )
    if mode == "query" and response_type != "code":
        assert landed.mode == "fragment"
        assert landed.params["error"] == "invalid_request"
        return
    assert landed.mode == (mode or usual(response_type))
    params = landed.params
    assert list(params) == expected(response_type)
    assert params["state"] == "a/b c&d=é+%2F"
    assert params["iss"] == front.issuer
    if "id_token" in params:
        await check_front(params)
    if "access_token" in params:
        assert params["token_type"] == "bearer"
        assert params["expires_in"] == "86399"
        told = json.loads((await front.userinfo(params["access_token"])).text)
        assert told["email"] == "kilgore@kilgore.trout"
        assert (await front.introspect(params["access_token"]))["active"]
    if "code" in params:
        assert (await front.exchange(params["code"])).status == 200


@pytest.mark.parametrize("response_type", TYPES)
@pytest.mark.parametrize("form", [False, True], ids=["usual", "form_post"])
async def test_refusals_go_where_the_answer_would_have_gone(front, response_type, form):
    mode = "form_post" if form else usual(response_type)
    asked = {"response_type": response_type} | ({"response_mode": mode} if form else {})
    for wrong, error in [
        ({"scope": "openid everything"}, "invalid_scope"),
        ({"prompt": "none"}, "login_required"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"request": "e30."}, "request_not_supported"),
    ]:
        refused = await front.ask(front.browser(), **asked, **wrong)
        assert refused.mode == mode
        assert refused.params["error"] == error
        assert refused.params["iss"] == front.issuer
        assert list(refused.params)[-2:] == ["state", "iss"]


@pytest.mark.parametrize("response_type", TYPES)
@pytest.mark.parametrize("form", [False, True], ids=["usual", "form_post"])
@pytest.mark.parametrize("agree", [True, False], ids=["yes", "no"])
async def test_after_the_page_that_asks_it_is_no_different(
    front, response_type, form, agree
):
    browser = front.browser()
    asked = {"response_type": response_type, "prompt": "consent"}
    if form:
        asked["response_mode"] = "form_post"
    page = await browser.follow(await front.log_in(browser, **asked))
    [question, *_] = page.forms
    word = {"approval": "approve" if agree else "rejected"}
    landed = await browser.post(page.url, data=question["fields"] | word)
    assert landed.mode == ("form_post" if form else usual(response_type))
    if agree:
        assert list(landed.params) == expected(response_type)
    else:
        assert landed.params["error"] == "access_denied"
        assert landed.params["state"] == "xyz"
        assert landed.params["iss"] == front.issuer
    # Of many that finish one flow at once, one gets an answer.
    again = await browser.post(page.url, data=question["fields"] | word)
    assert again.status == 400


@pytest.mark.parametrize("text", ["token id_token", "id_token  token", "token code"])
async def test_the_order_of_the_parts_does_not_matter(front, text):
    landed = await front.log_in(response_type=text)
    in_order = [each for each in TYPES if set(each.split()) == set(text.split())]
    assert list(landed.params) == expected(in_order[0])


async def test_nothing_to_refresh_comes_by_the_browser(front):
    """Whatever the scope: only the code is good for it."""
    landed = await front.log_in(response_type="id_token token")
    assert "refresh_token" not in landed.params
    assert await front.storage.refresh_tokens.list() == []
    hybrid = await front.log_in(response_type="code id_token token")
    tokens = json.loads((await front.exchange(hybrid.params["code"])).text)
    assert "refresh_token" in tokens


async def test_without_a_code_nothing_is_stored(front):
    await front.log_in(response_type="id_token token")
    for kind in (front.storage.auth_codes, front.storage.auth_requests):
        assert await kind.list() == []


async def test_who_has_logged_in_is_the_same_by_either_way(front, check_front):
    """T-IDT-01."""
    landed = await front.log_in(response_type="code id_token")
    ours = await check_front(landed.params)
    tokens = json.loads((await front.exchange(landed.params["code"])).text)
    theirs = await front.claims(tokens["id_token"])
    # OpenID Connect Core section 3.3.3.6.
    for name in ("iss", "sub", "aud", "nonce", "auth_time", "email"):
        assert ours[name] == theirs[name]


async def test_a_public_client_gets_tokens_by_the_browser_too(front):
    landed = await front.log_in(
        client_id="native",
        redirect_uri="http://127.0.0.1:49152/cb",
        response_type="code id_token",
        code_challenge=CHALLENGE,
        code_challenge_method="S256",
    )
    answer = await front.exchange(
        landed.params["code"],
        auth=None,
        client_id="native",
        redirect_uri="http://127.0.0.1:49152/cb",
        code_verifier=VERIFIER,
    )
    assert answer.status == 200


async def test_a_trusted_peer_is_an_audience_here_too(front):
    scope = "openid audience:server:client_id:other-app"
    landed = await front.log_in(scope=scope, response_type="id_token")
    claims = await front.claims(landed.params["id_token"])
    assert claims["aud"] == ["other-app", "example-app"]
    assert claims["azp"] == "example-app"


# — one family -------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["openid", "openid offline_access"])
async def test_a_code_used_twice_revokes_what_came_by_the_browser_too(front, scope):
    landed = await front.log_in(response_type="code id_token token", scope=scope)
    first = await front.exchange(landed.params["code"])
    assert first.status == 200
    token = landed.params["access_token"]
    assert (await front.userinfo(token)).status == 200
    assert (await front.exchange(landed.params["code"])).status == 400
    assert (await front.userinfo(token)).status == 401
    assert (await front.userinfo(json.loads(first.text)["access_token"])).status == 401


async def test_to_revoke_the_refresh_token_revokes_what_came_by_the_browser_too(front):
    landed = await front.log_in(response_type="code token")
    other = await front.log_in(response_type="code token")
    tokens = json.loads((await front.exchange(landed.params["code"])).text)
    await front.post("/dex/token/revoke", token=tokens["refresh_token"])
    assert (await front.userinfo(landed.params["access_token"])).status == 401
    assert (await front.userinfo(other.params["access_token"])).status == 200


# — what does not ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "response_type", [each for each in TYPES if "id_token" in each.split()]
)
async def test_an_id_token_by_the_browser_needs_a_nonce(front, response_type):
    """T-AZ-05: dex lets the hybrid flow pass without one."""
    refused = await front.ask(front.browser(), response_type=response_type, nonce=None)
    assert refused.mode == "fragment"
    assert refused.params["error"] == "invalid_request"
    assert "nonce" in refused.params["error_description"]


async def test_an_access_token_alone_is_refused(front):
    refused = await front.ask(front.browser(), response_type="token")
    assert refused.params["error"] == "invalid_request"


@pytest.mark.parametrize(
    "redirect_uri", ["urn:ietf:wg:oauth:2.0:oob", "/dex/device/callback"]
)
async def test_our_own_pages_get_no_tokens(front, redirect_uri):
    refused = await front.ask(
        front.browser(),
        client_id="native",
        redirect_uri=redirect_uri,
        response_type="code token",
    )
    assert "access_token" not in refused.headers["Location"]
    assert "error=invalid_request" in refused.headers["Location"]


@pytest.mark.parametrize(
    "configured",
    [
        "[code]",
        "[id_token]",
        "[code, id_token]",
        "[code, token]",
        "[token]",
        "[code, id_token, token]",
        "[code, 'id_token token', 'code id_token token']",
    ],
)
async def test_what_is_advertised_works_and_nothing_else(make_world, configured):
    """T-DISC-03."""
    text = CONFIG.replace("oauth2: {", f"oauth2: {{responseTypes: {configured}, ")
    world = await make_world(text)
    document = await discovered(world)
    listed = document["response_types_supported"]
    assert listed == sorted(listed)
    for response_type in [*TYPES, "token", "none", "code none"]:
        landed = await world.ask(world.browser(), response_type=response_type)
        if response_type in listed:
            assert "/login" in landed.headers["Location"], response_type
        else:
            assert landed.params["error"] in (
                "unsupported_response_type",
                "invalid_request",
            )
    by_browser = [each for each in listed if each != "code"]
    assert ("implicit" in document["grant_types_supported"]) is bool(by_browser)


async def test_a_file_without_the_grant_implicit_has_no_tokens_by_the_browser(
    make_world,
):
    world = await make_world(
        FRONT.replace("oauth2: {", "oauth2: {grantTypes: [authorization_code], ")
    )
    assert (await discovered(world))["response_types_supported"] == ["code"]
    refused = await world.ask(world.browser(), response_type="id_token token")
    assert refused.params["error"] == "unsupported_response_type"


async def test_a_client_that_may_not_have_the_connector_any_more_gets_no_tokens(front):
    """It could until the end user agreed."""
    browser = front.browser()
    await front.storage.clients.create(
        attrs.evolve(
            await front.storage.clients.get("example-app"), id="app", secret="s"
        )
    )
    page = await browser.follow(
        await front.log_in(
            browser, client_id="app", response_type="id_token token", prompt="consent"
        )
    )
    await front.storage.clients.update(
        "app", change=lambda old: attrs.evolve(old, allowed_connectors=("another",))
    )
    fields = page.forms[0]["fields"] | {"approval": "approve"}
    refused = await browser.post(page.url, data=fields)
    assert refused.mode == "fragment"
    assert refused.params["error"] == "access_denied"


# — strictly ---------------------------------------------------------------------------

STRICT = FRONT + "compat: strict\n"
TOLD = {"email", "email_verified", "name"}


@pytest.mark.parametrize("response_type", TYPES)
async def test_strictly_userinfo_tells_what_it_can_be_asked_for(
    make_world, response_type
):
    """OpenID Connect Core section 5.4."""
    world = await make_world(STRICT)
    scope = "openid email profile offline_access federated:id"
    landed = await world.log_in(response_type=response_type, scope=scope)
    tokens = [landed.params.get("id_token")]
    access_token = landed.params.get("access_token")
    if "code" in landed.params:
        traded = json.loads((await world.exchange(landed.params["code"])).text)
        refreshed = json.loads((await world.refresh(traded["refresh_token"])).text)
        tokens += [traded["id_token"], refreshed["id_token"]]
        access_token = access_token or traded["access_token"]
    for token in filter(None, tokens):
        claims = await world.claims(token)
        assert (claims.keys() >= TOLD) is (response_type == "id_token")
        # No scope of the specification: it stays where clients of dex look for it.
        assert claims["federated_claims"]["connector_id"] == "pw"
    if access_token:
        told = json.loads((await world.userinfo(access_token)).text)
        assert told.keys() >= TOLD


async def test_strictly_a_public_client_needs_a_challenge_only_for_a_code(make_world):
    world = await make_world(STRICT)
    native = {"client_id": "native", "redirect_uri": "http://127.0.0.1:49152/cb"}
    landed = await world.log_in(response_type="id_token", **native)
    assert "id_token" in landed.params
    refused = await world.ask(world.browser(), response_type="code id_token", **native)
    assert refused.params["error"] == "invalid_request"
    assert "PKCE" in refused.params["error_description"]


# — with sessions ----------------------------------------------------------------------


@pytest.fixture
async def sso(make_world):
    return await make_world(SESSIONS.replace("oauth2: {", f"oauth2: {{{ALL}, "))


@pytest.mark.parametrize("response_type", TYPES)
async def test_a_session_answers_silently_with_every_response_type(sso, response_type):
    browser, _ = await sso.logged_in()
    landed = await sso.silently(browser, response_type=response_type)
    assert landed.mode == usual(response_type)
    assert set(expected(response_type)) <= landed.params.keys()
    [session] = await sso.storage.auth_sessions.list()
    if "id_token" in landed.params:
        claims = await sso.claims(landed.params["id_token"])
        assert claims["sid"] == session.id


async def test_a_session_that_only_saw_tokens_by_the_browser_tells_of_its_end(sso):
    """Its client is one that hears of the logout."""
    browser, _ = await sso.logged_in()
    await sso.silently(browser, client_id="other-app", response_type="id_token")
    [session] = await sso.storage.auth_sessions.list()
    assert {"example-app", "other-app"} == session.client_states.keys()


async def test_a_silent_request_that_would_ask_is_refused_in_the_fragment(sso):
    refused = await sso.silently(sso.browser(), response_type="id_token token")
    assert refused.mode == "fragment"
    assert refused.params["error"] == "login_required"
