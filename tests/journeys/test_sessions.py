"""A browser that is logged in need not log in again: how long, and for whom."""

import asyncio
import base64
import json

from datetime import timedelta

import attrs
import pytest

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dexcore.oauth2.subjects import decode_session_cookie, encode_session_cookie
from dexcore.storage import AuthSession, ClientAuthState

KEY = "0123456789abcdef"

SCOPE = "openid email profile"


def session_cookie(answer, name="dex_session"):
    """The Set-Cookie line of the session, ``None`` if there is none."""
    lines = answer.headers.getall("Set-Cookie", ())
    return next((line for line in lines if line.startswith(f"{name}=")), None)


def value_of(line):
    return line.partition("=")[2].partition(";")[0]


# — Who is logged in -------------------------------------------------------------------


async def test_who_is_logged_in_is_let_in_again_without_a_page(sso):
    browser, first = await sso.logged_in()
    again = await sso.ask(browser, scope=SCOPE)
    assert again.status == 303
    one, two = await sso.id_claims(first), await sso.id_claims(again)
    assert one["sub"] == two["sub"]
    assert one["sid"] == two["sid"]
    assert one["email"] == two["email"]


async def test_a_silent_request_is_answered_from_the_session(sso):
    """T-AZ-08."""
    browser, _ = await sso.logged_in()
    landed = await sso.silently(browser)
    assert (await sso.id_claims(landed))["email"] == "kilgore@kilgore.trout"


async def test_a_stranger_is_asked_silently_in_vain(sso):
    """T-AZ-08."""
    refused = await sso.silently(sso.browser())
    assert refused.params["error"] == "login_required"
    assert refused.params["state"] == "xyz"


async def test_auth_time_is_of_the_login_and_does_not_move(sso):
    browser, first = await sso.logged_in()
    at = (await sso.id_claims(first))["auth_time"]
    sso.clock.advance(minutes=20)
    # The same user logs in elsewhere: that says nothing about this browser.
    await sso.logged_in()
    sso.clock.advance(minutes=20)
    again = await sso.silently(browser)
    assert (
        (await sso.id_claims(again))["auth_time"]
        == at
        == int((sso.clock.moment - timedelta(minutes=40)).timestamp())
    )


async def test_tokens_say_which_session_they_are_of(sso):
    """The session's id is public; dex's name of it is sid."""
    _, landed = await sso.logged_in()
    [session] = await sso.storage.auth_sessions.list()
    assert (await sso.id_claims(landed))["sid"] == session.id
    assert set(session.client_states) == {"example-app"}
    assert session.client_states["example-app"].via_sso is False
    assert session.ip_address == "127.0.0.1"


async def test_without_sessions_there_is_no_cookie_and_no_sid(world):
    landed = await world.log_in()
    assert session_cookie(landed) is None
    tokens = json.loads((await world.exchange(landed.params["code"])).text)
    assert "sid" not in await world.claims(tokens["id_token"])
    assert await world.storage.auth_sessions.list() == []
    assert await world.storage.user_identities.list() == []
    for path in ("/dex/logout", "/dex/logout/callback", "/dex/sessions"):
        assert (await world.browser().get(path)).status == 404


# — The cookie -------------------------------------------------------------------------


async def test_the_cookie_is_dexs(sso):
    """T-SES-04: HttpOnly, SameSite=Lax, the issuer's path, no domain."""
    browser = sso.browser()
    form = await sso.form(browser, scope=SCOPE)
    sent = {"login": "jane", "password": "fox", "remember_me": "on"}
    line = session_cookie(await browser.post(form.url, data=sent))
    value = value_of(line)
    assert line == (
        f"dex_session={value}; Path=/dex; Max-Age=86400; HttpOnly; SameSite=Lax"
    )
    [session] = await sso.storage.auth_sessions.list()
    assert decode_session_cookie(value) == (session.id, session.secret)


async def test_who_is_not_to_be_remembered_is_forgotten_with_the_window(sso):
    _, landed = await sso.logged_in()
    assert "Max-Age" not in session_cookie(landed)


@pytest.mark.parametrize("default", ["true", "false"])
async def test_the_box_is_ticked_as_the_file_says(make_world, sso_config, default):
    text = sso_config.replace(
        "sessions: {}", f"sessions: {{rememberMeCheckedByDefault: {default}}}"
    )
    world = await make_world(text)
    form = await world.form(world.browser(), scope=SCOPE)
    ticked = 'type="checkbox" value="on" checked' in form.text
    assert "Keep me logged in on this device" in form.text
    assert ticked is (default == "true")


async def test_the_box_stays_as_it_was_after_a_wrong_password(sso):
    browser = sso.browser()
    form = await sso.form(browser, scope=SCOPE)
    wrong = {"login": "jane", "password": "wrong"}
    page = await browser.post(form.url, data=wrong)
    assert 'value="on" checked' not in page.text
    page = await browser.post(form.url, data=wrong | {"remember_me": "on"})
    assert 'value="on" checked' in page.text


@pytest.mark.parametrize("default", ["true", "false"])
async def test_a_login_upstream_is_remembered_as_the_file_says(
    make_world, sso_config, default
):
    text = sso_config.replace(
        "sessions: {}", f"sessions: {{rememberMeCheckedByDefault: {default}}}"
    ).replace(
        "{type: mockPassword, id: pw, name: Passwords, "
        "config: {username: jane, password: fox}}",
        "{type: mockCallback, id: mock, name: Example}",
    )
    world = await make_world(text)
    browser = world.browser()
    upstream = await world.ask(browser, scope=SCOPE)
    landed = await browser.get(upstream.location)
    assert ("Max-Age=86400" in session_cookie(landed)) is (default == "true")


async def test_an_encrypted_cookie_is_read_as_dex_writes_it(make_world, sso_config):
    world = await make_world(
        sso_config.replace("sessions: {}", f"sessions: {{cookieEncryptionKey: {KEY}}}")
    )
    browser, landed = await world.logged_in()
    sealed = base64.urlsafe_b64decode(value_of(session_cookie(landed)) + "==")
    plain = AESGCM(KEY.encode()).decrypt(sealed[:12], sealed[12:], None).decode()
    [session] = await world.storage.auth_sessions.list()
    assert decode_session_cookie(plain) == (session.id, session.secret)
    assert (await world.silently(browser)).params["code"]


async def test_a_session_that_dex_began_goes_on(sso):
    """What dex has stored and what the browser keeps are enough."""
    await sso.logged_in()
    user_id = (await sso.storage.user_identities.list())[0].user_id
    now = sso.clock.moment
    theirs = AuthSession(
        id="maaaaaaaaaaaaaaaaaaaaaaaa",
        secret="mbbbbbbbbbbbbbbbbbbbbbbbb",
        user_id=user_id,
        connector_id="pw",
        client_states={"example-app": ClientAuthState(now, now, now)},
        created_at=now,
        last_activity=now,
        absolute_expiry=now + timedelta(hours=24),
        idle_expiry=now + timedelta(hours=1),
    )
    await sso.storage.auth_sessions.create(theirs)
    value = encode_session_cookie(theirs.id, theirs.secret)
    params = sso.auth_params(scope=SCOPE, prompt="none")
    answer = await sso.browser().get(
        "/dex/auth", params=params, headers={"Cookie": f"dex_session={value}"}
    )
    assert (await sso.id_claims(answer))["sid"] == theirs.id


async def with_cookie(world, *values, name="dex_session"):
    headers = {"Cookie": "; ".join(f"{name}={value}" for value in values)}
    params = world.auth_params(scope=SCOPE, prompt="none")
    return await world.browser().get("/dex/auth", params=params, headers=headers)


async def test_a_cookie_that_was_touched_is_no_cookie(sso):
    """T-SES-05: flipped, cut, foreign: the login page, never an error."""
    _, landed = await sso.logged_in()
    value = value_of(session_cookie(landed))
    assert "code" in (await with_cookie(sso, value)).params
    id, secret = decode_session_cookie(value)
    broken = [value[:n] for n in range(0, len(value), 7)]
    broken += [value[:n] + "A" + value[n + 1 :] for n in (0, 5, len(value) // 2)]
    broken += ["%00", "=" * 9, "ÿ", "x" * 5000, encode_session_cookie(id, "")]
    broken += [encode_session_cookie(id, secret[:-1])]
    for each in broken:
        if each != value:
            answer = await with_cookie(sso, each)
            assert answer.params["error"] == "login_required", each


async def test_a_cookie_of_another_deployment_is_no_cookie(make_world, sso_config):
    """T-SES-05."""
    text = sso_config.replace("sessions: {}", "sessions: {cookieEncryptionKey: %s}")
    here, there = await make_world(text % KEY), await make_world(text % KEY[::-1])
    _, landed = await there.logged_in()
    answer = await with_cookie(here, value_of(session_cookie(landed)))
    assert answer.params["error"] == "login_required"


async def test_fifty_cookies_crash_nothing(sso):
    """T-SES-06."""
    _, landed = await sso.logged_in()
    value = value_of(session_cookie(landed))
    made_up = [encode_session_cookie(f"id{n}", "s") for n in range(50)]
    answer = await with_cookie(sso, *made_up, value)
    assert answer.params["error"] == "login_required"
    answer = await with_cookie(sso, "junk", "junk", value, value)
    assert "code" in answer.params


async def test_of_two_planted_sessions_none_counts(sso):
    """T-SES-08: a neighbour domain adds a live cookie of its own to the user's."""
    _, mine = await sso.logged_in()
    _, planted = await sso.logged_in()
    values = [value_of(session_cookie(each)) for each in (planted, mine)]
    answer = await with_cookie(sso, *values)
    assert answer.params["error"] == "login_required"
    assert "code" in (await with_cookie(sso, values[1])).params


async def test_a_session_without_a_secret_proves_nothing(sso):
    await sso.logged_in()
    [session] = await sso.storage.auth_sessions.list()
    await sso.storage.auth_sessions.update(
        session.id, change=lambda old: attrs.evolve(old, secret="")
    )
    answer = await with_cookie(sso, encode_session_cookie(session.id, ""))
    assert answer.params["error"] == "login_required"


async def test_strict_gives_the_cookie_the_prefix_that_neighbours_cannot_set(
    make_world,
    sso_config,
):
    """T-SES-04."""
    text = sso_config.replace("http://127.0.0.1:5556/dex", "https://id.example") + (
        "compat: strict\n"
    )
    world = await make_world(text)
    browser = world.browser()
    form = await world.ask(browser, path="/auth", scope=SCOPE)
    jar = [line.partition(";")[0] for line in form.headers.getall("Set-Cookie")]
    landed = await browser.post(
        form.location.replace("https://id.example", world.base),
        data={"login": "jane", "password": "fox"},
        headers={"Cookie": "; ".join(jar)},
    )
    line = session_cookie(landed, "__Host-dex_session")
    assert "; Path=/;" in line
    assert "; Secure" in line
    assert "Domain" not in line


# — Fixation ---------------------------------------------------------------------------


async def test_a_session_that_was_planted_is_not_adopted(sso):
    """T-SES-01: the attacker's session ends, the user gets one of their own."""
    _, planted = await sso.logged_in()
    value = value_of(session_cookie(planted))
    browser = sso.browser()
    form = await sso.form(browser, scope=SCOPE, prompt="login")
    landed = await browser.post(
        form.url,
        data={"login": "jane", "password": "fox"},
        headers={"Cookie": f"dex_session={value}"},
    )
    mine = value_of(session_cookie(landed))
    assert mine != value
    # Whoever knows the cookie that was planted is not in the new session.
    assert (await with_cookie(sso, value)).params["error"] == "login_required"
    assert "code" in (await with_cookie(sso, mine)).params


async def test_logging_in_again_makes_the_old_cookie_worthless(sso):
    """T-SES-01: who has copied the cookie is out."""
    browser, first = await sso.logged_in()
    _, second = await sso.logged_in(browser, prompt="login")
    old, new = (value_of(session_cookie(each)) for each in (first, second))
    assert old != new
    assert (await with_cookie(sso, old)).params["error"] == "login_required"
    assert "code" in (await with_cookie(sso, new)).params


async def test_clients_know_the_session_by_the_same_name_after_another_login(sso):
    """They have to recognise it when it ends."""
    browser, first = await sso.logged_in()
    sso.clock.advance(minutes=5)
    _, second = await sso.logged_in(browser, prompt="login")
    one, two = await sso.id_claims(first), await sso.id_claims(second)
    assert one["sid"] == two["sid"]
    assert two["auth_time"] - one["auth_time"] == 300


@pytest.mark.parametrize("how", ["the callback", "the form", "the whole link"])
async def test_a_login_that_somebody_else_began_begins_no_session_here(
    make_world, sso_config, how
):
    """T-FLOW-02: an attacker's own code and state, in the victim's browser."""
    up = "- {type: mockCallback, id: up, name: Up}\nstaticClients:"
    world = await make_world(sso_config.replace("staticClients:", up))
    attacker, victim = world.browser(), world.browser()
    connector = "pw" if how == "the form" else "up"
    sent = await world.ask(attacker, scope=SCOPE, connector_id=connector)
    if how == "the form":
        form = await attacker.follow(sent)
        fields = {"login": "jane", "password": "fox"}
        answer = await victim.post(form.url, data=fields)
    elif how == "the callback":
        answer = await victim.get(sent.location)
    else:
        await world.ask(victim, scope=SCOPE, connector_id=connector, state="mine")
        answer = await victim.get(sent.location)
    assert answer.status == 400
    assert await world.storage.auth_sessions.list() == []
    refused = await world.silently(victim)
    assert refused.params["error"] == "login_required"


async def test_another_user_gets_another_session(make_world, sso_config):
    """T-SES-02: nothing of the first user's is the second's."""
    world = await make_world(
        sso_config.replace(
            "staticClients:",
            "- {type: mockPassword, id: two, name: Two, "
            "config: {username: joe, password: ox}}\nstaticClients:",
        )
    )
    browser = world.browser()
    _, first = await world.logged_in(browser, connector_id="pw")
    _, second = await world.logged_in(
        browser, connector_id="two", login="joe", password="ox"
    )
    one, two = await world.id_claims(first), await world.id_claims(second)
    assert one["sid"] != two["sid"]
    assert one["sub"] != two["sub"]
    [session] = await world.storage.auth_sessions.list()
    assert (session.id, session.connector_id) == (two["sid"], "two")
    assert (await with_cookie(world, value_of(session_cookie(first)))).params[
        "error"
    ] == "login_required"


# — How long ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("used_every", "lasts", "ends"),
    [
        (timedelta(hours=24), timedelta(hours=1), timedelta(hours=1, seconds=1)),
        (timedelta(minutes=50), timedelta(hours=24), timedelta(hours=24, seconds=1)),
    ],
    ids=["unused", "used"],
)
async def test_a_session_ends_unused_after_an_hour_and_in_any_case_after_a_day(
    sso, used_every, lasts, ends
):
    """T-SES-07, T-SES-03."""
    browser, _ = await sso.logged_in()
    begun = sso.clock.moment
    while sso.clock.moment + used_every < begun + lasts:
        sso.clock.moment += used_every
        assert "code" in (await sso.silently(browser)).params
    sso.clock.moment = begun + lasts
    [before] = await sso.storage.auth_sessions.list()
    sso.clock.moment = begun + ends
    assert (await sso.silently(browser)).params["error"] == "login_required"
    # The dead cookie changes nothing that is stored (T-SES-03).
    assert await sso.storage.auth_sessions.list() == [before]
    assert (await sso.storage.sweep(sso.clock.moment))["auth_session"] == 1


async def test_at_the_last_moment_a_session_still_counts(sso):
    """T-SES-07."""
    browser, _ = await sso.logged_in()
    sso.clock.advance(hours=1)
    assert "code" in (await sso.silently(browser)).params


async def test_another_login_begins_the_day_anew(sso):
    browser, _ = await sso.logged_in()
    for _ in range(23):
        sso.clock.advance(minutes=59)
        assert "code" in (await sso.silently(browser)).params
    await sso.logged_in(browser, prompt="login")
    for _ in range(20):
        sso.clock.advance(minutes=59)
        assert "code" in (await sso.silently(browser)).params


# — For whom ---------------------------------------------------------------------------


async def test_a_login_is_shared_with_whom_the_client_names_and_no_further(sso):
    """T-SSO-01: example-app shares with other-app, that with third-app."""
    browser, _ = await sso.logged_in()
    shared = await sso.silently(browser, client_id="other-app")
    assert (await sso.id_claims(shared, "other-app"))["sid"]
    refused = await sso.silently(browser, client_id="third-app")
    assert refused.params["error"] == "login_required"
    [session] = await sso.storage.auth_sessions.list()
    assert {k: v.via_sso for k, v in session.client_states.items()} == {
        "example-app": False,
        "other-app": True,
    }


async def test_sharing_goes_one_way(sso):
    browser, _ = await sso.logged_in(client_id="other-app")
    refused = await sso.silently(browser, client_id="example-app")
    assert refused.params["error"] == "login_required"


async def test_who_came_in_by_sharing_and_then_logs_in_shares_too(sso):
    browser, _ = await sso.logged_in()
    await sso.silently(browser, client_id="other-app")
    await sso.logged_in(browser, client_id="other-app", prompt="login")
    shared = await sso.silently(browser, client_id="third-app")
    assert "code" in shared.params


@pytest.mark.parametrize(("default", "expected"), [("all", "code"), ("none", "error")])
async def test_clients_that_do_not_say_share_as_the_file_says(
    make_world, sso_config, default, expected
):
    text = sso_config.replace(
        "sessions: {}", f"sessions: {{ssoSharedWithDefault: {default}}}"
    ).replace("  ssoSharedWith: [other-app]\n", "")
    world = await make_world(text)
    browser, _ = await world.logged_in()
    landed = await world.silently(browser, client_id="third-app")
    assert expected in landed.params


async def test_a_star_shares_with_everybody(make_world, sso_config):
    world = await make_world(
        sso_config.replace("ssoSharedWith: [other-app]", "ssoSharedWith: ['*']")
    )
    browser, _ = await world.logged_in()
    landed = await world.silently(browser, client_id="third-app")
    assert "code" in landed.params


async def test_a_session_of_a_connector_the_client_may_not_use_is_of_no_use(
    make_world, sso_config
):
    world = await make_world(
        sso_config.replace(
            "staticClients:",
            "- {type: mockCallback, id: mock, name: Example}\nstaticClients:",
        ).replace(
            "  ssoSharedWith: [third-app]",
            "  allowedConnectors: [mock]",
        )
    )
    browser, _ = await world.logged_in(connector_id="pw")
    refused = await world.silently(browser, client_id="other-app")
    assert refused.params["error"] == "login_required"


async def test_a_blocked_user_is_not_let_in(sso):
    """T-LOCK-01: not by the session, nor by logging in, nor by a refresh token."""
    browser, landed = await sso.logged_in(scope="openid offline_access")
    token = (await sso.tokens_of(landed))["refresh_token"]
    [user] = await sso.storage.user_identities.list()
    until = sso.clock.moment + timedelta(minutes=10)
    await sso.storage.user_identities.update(
        user.user_id,
        user.connector_id,
        change=lambda old: attrs.evolve(old, blocked_until=until),
    )
    assert (await sso.silently(browser)).params["error"] == "login_required"
    refused = await sso.log_in(sso.browser(), scope=SCOPE)
    assert refused.params["error"] == "access_denied"
    assert session_cookie(refused) is None
    answer = await sso.refresh(token)
    assert json.loads(answer.text)["error"] == "invalid_grant"
    sso.clock.advance(minutes=11)
    assert (await sso.refresh(token)).status == 200
    assert "code" in (await sso.silently(browser)).params


# — Where several connectors are to choose from ----------------------------------------


@pytest.fixture
async def two(make_world, sso_config):
    return await make_world(
        sso_config.replace(
            "staticClients:",
            "- {type: mockPassword, id: two, name: Two, "
            "config: {username: joe, password: ox}}\nstaticClients:",
        )
    )


async def test_who_is_logged_in_does_not_choose_again(two):
    browser, _ = await two.logged_in(connector_id="pw")
    assert (await two.ask(browser, scope=SCOPE)).params["code"]
    elsewhere = await two.ask(browser, scope=SCOPE, connector_id="two")
    assert elsewhere.location.startswith(f"{two.base}/dex/auth/two/login")


async def test_who_wants_to_choose_may_go_on_or_be_somebody_else(two):
    browser, first = await two.logged_in(connector_id="pw")
    page = await two.ask(browser, scope=SCOPE, prompt="select_account")
    assert page.status == 200
    assert "Continue as Kilgore Trout" in page.text
    go_on, *others = [link for link in page.links if link.startswith("/dex/auth/")]
    landed = await browser.get(go_on)
    assert (await two.id_claims(landed))["sid"] == (await two.id_claims(first))["sid"]
    same = next(link for link in others if link.startswith("/dex/auth/pw?"))
    form = await browser.follow(await browser.get(same))
    assert form.status == 200
    assert 'name="password"' in form.text


async def test_with_one_connector_too_somebody_else_may_log_in(sso):
    browser, _ = await sso.logged_in()
    page = await sso.ask(browser, scope=SCOPE, prompt="select_account")
    assert "Continue as Kilgore Trout" in page.text
    assert "Log in with Passwords" in page.text


async def test_the_way_back_from_the_form_leads_to_a_choice(two):
    browser, _ = await two.logged_in(connector_id="pw")
    form = await two.form(browser, scope=SCOPE, prompt="login", connector_id="pw")
    [back] = [link for link in form.links if link.startswith("/dex/auth?back=")]
    page = await browser.get(back)
    assert page.status == 200
    # The client asked for a login, so nobody goes on without one.
    assert "Continue as" not in page.text


async def test_a_login_screen_that_is_always_shown_is_shown(make_world, sso_config):
    world = await make_world(
        sso_config.replace(
            "skipApprovalScreen: true",
            "skipApprovalScreen: true, alwaysShowLoginScreen: true",
        )
    )
    browser = world.browser()
    await world.logged_in(browser, connector_id="pw")
    page = await world.ask(browser, scope=SCOPE)
    assert "Continue as Kilgore Trout" in page.text
    assert "code" in (await world.silently(browser)).params


# — Replicas ---------------------------------------------------------------------------


async def test_every_replica_knows_of_a_session_and_of_its_end(
    make_world, sso_config, tmp_path
):
    """Nothing of a session is kept in a process."""
    text = sso_config.replace(
        "{type: memory}", f"{{type: sqlite3, config: {{file: '{tmp_path}/dex.db'}}}}"
    )
    one, two = await make_world(text), await make_world(text)
    browser, landed = await one.logged_in()
    params = one.auth_params(scope=SCOPE, prompt="none")

    async def silently(world):
        return (await browser.get(f"{world.base}/dex/auth", params=params)).params

    assert "code" in await silently(two)
    page = await browser.get(f"{two.base}/dex/logout")
    [form] = page.forms
    # A page of one replica is good at the other.
    out = await browser.post(f"{one.base}{form['action']}", data=form["fields"])
    assert "You are logged out" in out.text
    value = value_of(session_cookie(landed))
    for world in (one, two):
        headers = {"Cookie": f"dex_session={value}"}
        refused = await world.browser().get("/dex/auth", params=params, headers=headers)
        assert refused.params["error"] == "login_required"


async def test_logins_at_once_in_one_browser_end_in_sessions_that_work(sso):
    """T-RACE: the buttons of several tabs, pressed together."""
    browser, _ = await sso.logged_in()
    forms = [await sso.form(browser, scope=SCOPE, prompt="login") for _ in range(5)]
    typed = {"login": "jane", "password": "fox"}
    answers = await asyncio.gather(
        *(browser.post(form.url, data=typed) for form in forms)
    )
    for answer in answers:
        assert (await sso.id_claims(answer))["sub"]
        value = value_of(session_cookie(answer))
        assert decode_session_cookie(value)
    working = [
        each
        for each in answers
        if "code" in (await with_cookie(sso, value_of(session_cookie(each)))).params
    ]
    assert working
