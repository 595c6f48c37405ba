"""What a client may ask of the end user: prompt, max_age, and whom it expects."""

import json
import secrets

import attrs
import pytest

from dexcore import hookimpl
from dexcore.connector import (
    CallbackConnector,
    ConnectorType,
    Identity,
    Redirect,
    RefreshConnector,
)
from dexcore.jose import b64decode, b64encode

SCOPE = "openid email profile"


@pytest.fixture
async def asking(make_world, sso_config):
    """A provider with sessions that asks whether a client may know them."""
    return await make_world(sso_config.replace("skipApprovalScreen: true", ""))


async def agree(browser, landed):
    page = await browser.follow(landed)
    assert page.status == 200, page.text
    form = page.forms[0]
    return await browser.post(
        form["action"], data={**form["fields"], "approval": "approve"}
    )


def asks_for_password(world, answer):
    return answer.location.startswith(f"{world.base}/dex/auth/pw/login?")


# — prompt=none ------------------------------------------------------------------------


async def test_a_consent_that_is_due_is_consent_required(asking):
    """T-AZ-08."""
    browser, landed = await asking.logged_in()
    refused = await asking.silently(browser)
    assert refused.params["error"] == "consent_required"
    await agree(browser, landed)
    assert "code" in (await asking.silently(browser)).params


async def test_none_beside_another_value_is_refused(sso):
    """T-AZ-08."""
    refused = await sso.silently(sso.browser(), prompt="none login")
    assert refused.params["error"] == "invalid_request"


@pytest.mark.parametrize("path", ["/dex/auth", "/dex/auth/pw"])
async def test_no_page_is_ever_shown_silently(asking, path):
    """T-AZ-08: whatever the reason, the client hears of it by redirect."""
    browser, _ = await asking.logged_in()
    for stranger in (asking.browser(), browser):
        for changes in ({}, {"max_age": "0"}, {"scope": "openid groups"}):
            answer = await asking.silently(stranger, path=path, **changes)
            assert answer.status == 303
            assert answer.params["error"].endswith("_required")


async def test_silence_needs_the_session_to_be_of_the_connector_that_is_asked_for(
    make_world, sso_config
):
    world = await make_world(
        sso_config.replace(
            "staticClients:",
            "- {type: mockCallback, id: mock, name: Example}\nstaticClients:",
        )
    )
    browser, _ = await world.logged_in(connector_id="pw")
    refused = await world.silently(browser, connector_id="mock")
    assert refused.params["error"] == "login_required"
    assert "code" in (await world.silently(browser)).params


# — prompt=login and max_age -----------------------------------------------------------


@pytest.mark.parametrize("again", [{"prompt": "login"}, {"max_age": "0"}])
async def test_who_must_log_in_again_is_asked_again(sso, again):
    """T-AZ-09."""
    browser, first = await sso.logged_in()
    sso.clock.advance(minutes=3)
    asked = await sso.ask(browser, scope=SCOPE, **again)
    assert asks_for_password(sso, asked)
    _, second = await sso.logged_in(browser, **again)
    one, two = await sso.id_claims(first), await sso.id_claims(second)
    assert two["auth_time"] - one["auth_time"] == 180


async def test_a_login_that_is_too_long_ago_does_not_count(sso):
    """T-AZ-09: to the second, and auth_time says which login counted."""
    browser, _ = await sso.logged_in()
    sso.clock.moment = sso.clock.moment.replace(microsecond=0)
    _, first = await sso.logged_in(browser, prompt="login")
    sso.clock.advance(seconds=100)
    landed = await sso.ask(browser, scope=SCOPE, max_age="100")
    claims = await sso.id_claims(landed)
    assert claims["auth_time"] == (await sso.id_claims(first))["auth_time"]
    sso.clock.advance(seconds=1)
    assert asks_for_password(sso, await sso.ask(browser, scope=SCOPE, max_age="100"))
    refused = await sso.silently(browser, max_age="100")
    assert refused.params["error"] == "login_required"


@pytest.mark.parametrize("wrong", ["-1", "1.5", "soon", "\u0661"])
async def test_a_max_age_that_is_no_number_is_refused(sso, wrong):
    refused = await sso.ask(sso.browser(), max_age=wrong)
    assert refused.params["error"] == "invalid_request"


class Upstream(CallbackConnector, RefreshConnector):
    """Notes what it is asked for."""

    def __init__(self):
        self.asked = []

    async def begin(self, scopes, callback_url, state):
        self.asked.append(scopes)
        return Redirect(f"{callback_url}?state={state}")

    async def finish(self, scopes, callback):
        return Identity("u", "Ursula", email="u@example.com", email_verified=True)

    async def refresh(self, scopes, identity):
        return identity


@attrs.frozen
class NoOptions:
    """No options."""


@pytest.fixture
async def upstream(make_world, sso_config):
    connector = Upstream()

    async def open_(config, context):
        return connector

    class Plugin:
        @hookimpl
        def dex_connector_types(self):
            return [ConnectorType("asked", NoOptions, open_)]

    world = await make_world(
        sso_config.replace(
            "{type: mockPassword, id: pw, name: Passwords, "
            "config: {username: jane, password: fox}}",
            "{type: asked, id: asked, name: Asked}",
        ),
        Plugin(),
    )
    return world, connector


@pytest.mark.parametrize(
    ("changes", "max_age"),
    [
        ({}, -1),
        ({"prompt": "login"}, 0),
        ({"max_age": "0"}, 0),
        ({"max_age": "600"}, 600),
        ({"prompt": "login", "max_age": "600"}, 0),
    ],
)
async def test_the_upstream_hears_how_fresh_the_login_must_be(
    upstream, changes, max_age
):
    """T-AZ-09: another login there must not be answered by an old one."""
    world, connector = upstream
    await world.ask(world.browser(), scope=SCOPE, **changes)
    assert [scopes.max_age for scopes in connector.asked] == [max_age]


async def test_the_upstream_hears_whom_the_client_expects(upstream):
    world, connector = upstream
    await world.ask(world.browser(), scope=SCOPE, login_hint="u@example.com")
    assert [scopes.login_hint for scopes in connector.asked] == ["u@example.com"]


# — Whom the client expects ------------------------------------------------------------


async def id_token(world, landed):
    return (await world.tokens_of(landed))["id_token"]


@pytest.fixture
async def two(make_world, sso_config):
    """Two users: Kilgore comes through pw, Joe, who is he too, through two."""
    return await make_world(
        sso_config.replace(
            "staticClients:",
            "- {type: mockPassword, id: two, name: Two, "
            "config: {username: joe, password: ox}}\nstaticClients:",
        )
    )


async def test_a_session_of_somebody_else_satisfies_no_hint(two):
    """T-AZ-10."""
    _, theirs = await two.logged_in(connector_id="two", login="joe", password="ox")
    hint = await id_token(two, theirs)
    browser, mine = await two.logged_in(connector_id="pw")
    refused = await two.silently(browser, id_token_hint=hint)
    assert refused.params["error"] == "login_required"
    own = await id_token(two, mine)
    assert "code" in (await two.silently(browser, id_token_hint=own)).params


@pytest.mark.parametrize("sessions", [True, False])
@pytest.mark.parametrize("state", ["short", "x" * 6000])
async def test_somebody_else_who_logs_in_satisfies_no_hint(
    make_world, sso_config, sessions, state
):
    """T-AZ-10: also where the request is too large for a cookie."""
    text = sso_config if sessions else sso_config.replace("sessions: {}", "")
    world = await make_world(
        text.replace(
            "staticClients:",
            "- {type: mockPassword, id: two, name: Two, "
            "config: {username: joe, password: ox}}\nstaticClients:",
        )
    )
    _, theirs = await world.logged_in(connector_id="two", login="joe", password="ox")
    hint = await id_token(world, theirs)
    state = state if len(state) < 100 else secrets.token_urlsafe(4000)
    refused = await world.log_in(
        scope=SCOPE, connector_id="pw", id_token_hint=hint, state=state
    )
    assert refused.params == {
        "error": "login_required",
        "error_description": "Somebody else has logged in than id_token_hint names.",
        "state": state,
        "iss": world.issuer,
    }
    stored = await world.storage.auth_sessions.list()
    assert [each.connector_id for each in stored] == (["two"] if sessions else [])


async def test_the_hint_is_not_lost_on_the_way_back(two):
    """T-AZ-10."""
    _, theirs = await two.logged_in(connector_id="two", login="joe", password="ox")
    hint = await id_token(two, theirs)
    browser = two.browser()
    form = await two.form(
        browser,
        scope=SCOPE,
        connector_id="two",
        id_token_hint=hint,
        login_hint="joe@example.com",
    )
    [back] = [link for link in form.links if link.startswith("/dex/auth?back=")]
    page = await browser.get(back)
    [other] = [link for link in page.links if link.startswith("/dex/auth/pw?")]
    form = await browser.follow(await browser.get(other))
    assert 'value="joe@example.com"' in form.text
    refused = await browser.post(form.url, data={"login": "jane", "password": "fox"})
    assert refused.params["error"] == "login_required"


async def test_a_hint_that_has_expired_is_a_hint(sso):
    """T-AZ-10."""
    browser, landed = await sso.logged_in()
    hint = await id_token(sso, landed)
    sso.clock.advance(hours=25)
    _, again = await sso.logged_in(browser, id_token_hint=hint)
    assert "code" in again.params


def forged(token, header=None, **claims):
    """*token* with another header or other claims, and the old signature."""
    parts = token.split(".")
    old_header, payload = (json.loads(b64decode(part)) for part in parts[:2])
    new = [
        b64encode(json.dumps(each).encode())
        for each in (old_header | (header or {}), payload | claims)
    ]
    return ".".join([*new, parts[2]])


async def test_a_hint_that_is_not_ours_is_refused(sso):
    """T-AZ-10, T-JWT-01, T-JWT-09: forged, unsigned, of another issuer, no ID token."""
    _, landed = await sso.logged_in()
    token = await id_token(sso, landed)
    unsigned = forged(token, {"alg": "none"}).rpartition(".")[0] + "."
    hints = [
        "junk",
        "~junk",
        token[:-4] + "AAAA",
        forged(token, sub="somebody"),
        unsigned,
        forged(token, {"alg": "NONE"}),
        forged(token, {"alg": "HS256"}),
    ]
    signer = sso.server.parts.signer
    claims = {"iss": sso.issuer, "sub": "x", "aud": "example-app"}
    for typ, changes in (
        (None, {"iss": "http://127.0.0.1:5556/other"}),
        ("logout+jwt", {}),
        ("at+jwt", {}),
        (None, {"events": {}}),
        (None, {"sub": 7}),
    ):
        payload = json.dumps(claims | changes).encode()
        hints.append(await signer.sign(payload, typ=typ))
    for hint in hints:
        answer = await sso.ask(sso.browser(), scope=SCOPE, id_token_hint=hint)
        assert answer.params["error"] == "invalid_request", hint
        assert answer.params["error_description"] == "Invalid id_token_hint."


async def test_the_hint_fills_in_the_form(sso):
    form = await sso.form(sso.browser(), scope=SCOPE, login_hint='jane"<b>')
    assert 'value="jane&#34;&lt;b&gt;"' in form.text
    long = await sso.form(sso.browser(), scope=SCOPE, login_hint="j" * 300)
    assert "jjjjj" not in long.text.partition("<form")[2].partition("</form")[0]


# — Consent ----------------------------------------------------------------------------


async def test_who_has_agreed_is_not_asked_again_for_the_same(asking):
    browser, landed = await asking.logged_in()
    assert "code" in (await agree(browser, landed)).params
    assert "code" in (await asking.ask(browser, scope=SCOPE)).params
    less = await asking.ask(browser, scope="openid email")
    assert "code" in less.params


async def test_who_has_agreed_is_asked_for_more(asking):
    """T-CONSENT-02."""
    browser, landed = await asking.logged_in()
    await agree(browser, landed)
    more = await asking.ask(browser, scope=f"{SCOPE} groups")
    assert "/approval?" in more.location
    assert "code" in (await agree(browser, more)).params
    assert "code" in (await asking.ask(browser, scope=f"{SCOPE} groups")).params


async def test_what_was_agreed_to_last_counts(asking):
    """The consent is replaced, as dex does, not added to."""
    browser, landed = await asking.logged_in()
    await agree(browser, landed)
    await agree(browser, await asking.ask(browser, scope="openid groups"))
    again = await asking.ask(browser, scope=SCOPE)
    assert "/approval?" in again.location


async def test_a_consent_of_one_client_is_none_of_another(asking):
    browser, landed = await asking.logged_in()
    await agree(browser, landed)
    other = await asking.ask(browser, scope=SCOPE, client_id="other-app")
    assert "/approval?" in other.location


async def test_a_client_can_have_the_user_asked_again(asking):
    browser, landed = await asking.logged_in()
    await agree(browser, landed)
    for again in ({"prompt": "consent"}, {"approval_prompt": "force"}):
        asked = await asking.ask(browser, scope=SCOPE, **again)
        assert "/approval?" in asked.location


async def test_nobody_is_asked_about_openid_alone(asking):
    _, landed = await asking.logged_in(scope="openid")
    assert "code" in landed.params


async def test_a_refused_consent_is_not_remembered(asking):
    browser, landed = await asking.logged_in()
    page = await browser.follow(landed)
    await browser.post(page.forms[1]["action"], data={"approval": "rejected"})
    again = await asking.ask(browser, scope=SCOPE)
    assert "/approval?" in again.location


async def test_a_consent_page_left_open_is_of_no_use_after_the_logout(asking):
    """Whoever sits at the machine next gets nothing of it."""
    browser, landed = await asking.logged_in()
    await agree(browser, landed)
    asking.clock.advance(seconds=1)
    asked = await asking.ask(browser, scope=SCOPE, prompt="consent")
    page = await browser.follow(asked)
    [session] = await asking.storage.auth_sessions.list()
    await asking.storage.auth_sessions.delete(session.id)
    refused = await browser.post(page.forms[0]["action"], data={"approval": "approve"})
    assert refused.params["error"] == "login_required"


# — Refresh tokens ---------------------------------------------------------------------


async def test_a_session_is_good_for_refresh_tokens_that_can_be_kept_up(sso):
    """What the directory knew at the login is kept for them."""
    browser, _ = await sso.logged_in()
    landed = await sso.silently(browser, scope="openid offline_access")
    tokens = await sso.tokens_of(landed)
    refreshed = json.loads((await sso.refresh(tokens["refresh_token"])).text)
    one = await sso.claims(tokens["id_token"])
    two = await sso.claims(refreshed["id_token"])
    assert (one["sid"], one["auth_time"]) == (two["sid"], two["auth_time"])


async def test_an_upstream_that_was_not_asked_for_offline_access_is_asked(upstream):
    """Else the refresh token could never be used."""
    world, connector = upstream
    browser = world.browser()
    landed = await browser.follow(await world.ask(browser, scope=SCOPE))
    assert "code" in landed.params
    refused = await world.silently(browser, scope="openid offline_access")
    assert refused.params["error"] == "login_required"
    landed = await browser.follow(
        await world.ask(browser, scope="openid offline_access")
    )
    assert [scopes.offline_access for scopes in connector.asked] == [False, True]
    again = await world.silently(browser, scope="openid offline_access")
    assert "code" in again.params


@pytest.mark.parametrize("sessions", [True, False])
async def test_consent_is_asked_also_where_the_request_fills_no_cookie(
    make_world, sso_config, sessions
):
    text = sso_config.replace("skipApprovalScreen: true", "")
    world = await make_world(text if sessions else text.replace("sessions: {}", ""))
    state = secrets.token_urlsafe(4000)
    browser, landed = await world.logged_in(state=state)
    agreed = await agree(browser, landed)
    assert agreed.params["state"] == state
    assert "id_token" in await world.tokens_of(agreed)
    assert await world.storage.auth_requests.list() == []
