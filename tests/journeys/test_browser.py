"""A flow belongs to the browser it began in; until the login nothing is stored."""

import asyncio
import secrets

import pytest

CONSENT = """
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
connectors:
- {type: mockPassword, id: pw, name: Passwords, config: {username: jane, password: fox}}
- {type: mockCallback, id: mock, name: Example}
staticClients:
- id: example-app
  redirectURIs: ['http://127.0.0.1:5555/callback']
  name: Example <App>
  secret: a-secret-of-the-example-app
- id: choosy
  redirectURIs: ['http://127.0.0.1:5555/callback']
  name: Choosy
  secret: a-secret-of-the-choosy-app
  allowedConnectors: [mock]
"""


@pytest.fixture
async def asking(make_world):
    return await make_world(CONSENT)


async def approval(world, browser, **changes):
    changes = {"connector_id": "pw"} | changes
    landed = await world.log_in(browser, **changes)
    assert landed.status == 303
    assert "/approval?" in landed.location
    return await browser.get(landed.location)


async def test_the_login_page_lists_the_connectors(asking):
    page = await asking.ask(asking.browser())
    assert page.status == 200
    paths = [link for link in page.links if link.startswith("/dex/auth/")]
    assert [path.partition("?")[0] for path in paths] == [
        "/dex/auth/mock",
        "/dex/auth/pw",
    ]


async def test_a_client_sees_only_the_connectors_it_may_use(asking):
    browser = asking.browser()
    answer = await asking.ask(browser, client_id="choosy")
    assert answer.status == 302
    refused = await asking.ask(browser, path="/dex/auth/pw", client_id="choosy")
    assert refused.status == 403


async def test_a_redirect_connector_logs_in(asking):
    browser = asking.browser()
    upstream = await asking.ask(browser, connector_id="mock")
    assert upstream.status == 302
    page = await browser.follow(await browser.get(upstream.location))
    assert "Kilgore Trout" in page.text
    [agree, _] = page.forms
    landed = await browser.post(agree["action"], data={"approval": "approve"})
    assert landed.params["code"]


async def test_who_agrees_sends_the_code_to_the_client(asking):
    browser = asking.browser()
    page = await approval(asking, browser)
    assert "Example &lt;App&gt;" in page.text
    assert "<App>" not in page.text
    [agree, _] = page.forms
    landed = await browser.post(
        agree["action"], data={**agree["fields"], "approval": "approve"}
    )
    assert landed.status == 303
    assert (await asking.exchange(landed.params["code"])).status == 200
    assert await asking.storage.auth_requests.list() == []


async def test_who_does_not_agree_is_reported_as_access_denied(asking):
    """T-CONSENT-01."""
    browser = asking.browser()
    page = await approval(asking, browser)
    landed = await browser.post(page.forms[1]["action"], data={"approval": "rejected"})
    assert landed.status == 303
    assert landed.params["error"] == "access_denied"
    assert landed.params["state"] == "xyz"
    assert await asking.storage.auth_requests.list() == []


async def test_one_consent_gives_one_code(asking):
    """T-CONSENT-01."""
    browser = asking.browser()
    page = await approval(asking, browser)
    answers = await asyncio.gather(
        *(
            browser.post(page.forms[0]["action"], data={"approval": "approve"})
            for _ in range(10)
        )
    )
    codes = [a for a in answers if a.status == 303 and "code" in a.params]
    assert len(codes) == 1
    assert {a.status for a in answers if a not in codes} <= {400}


async def test_a_consent_page_opens_only_in_the_browser_that_began(asking):
    """T-FLOW-01."""
    landed = await asking.log_in(asking.browser(), connector_id="pw")
    stranger = await asking.browser().get(landed.location)
    assert stranger.status == 400
    assert "Location" not in stranger.headers


async def test_consent_counts_only_from_our_own_page(asking):
    """T-CONSENT-01: the MAC of its link is what no other site can know."""
    browser, other = asking.browser(), asking.browser()
    page = await approval(asking, browser)
    theirs = await approval(asking, other)
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Frame-Options"] == "DENY"
    action, yes = page.forms[0]["action"], {"approval": "approve"}
    path, _, query = action.partition("?")
    mac = next(part for part in query.split("&") if part.startswith("hmac="))
    for wrong in (
        path,
        action.replace(mac, "hmac="),
        action.replace(mac, "hmac=AAAA"),
        theirs.forms[0]["action"],
    ):
        refused = await browser.post(wrong, data=yes)
        assert refused.status in (400, 401)
        assert "Location" not in refused.headers
    # A form of another site brings no Lax cookie; to look at the page is no consent.
    assert (await asking.browser().post(action, data=yes)).status == 400
    assert (await browser.get(f"{action}&approval=approve")).status == 200
    assert "code" in (await browser.post(action, data=yes)).params
    again = await browser.post(action, data=yes)
    assert again.status == 400


async def test_a_form_that_was_posted_is_not_posted_on(asking):
    """T-AZ-11: after 307 and 308 the client would get the password."""
    browser = asking.browser()
    form = await asking.form(browser, connector_id="pw")
    fields = {"login": "jane", "password": "fox"}
    asked = await browser.post(form.url, data=fields)
    page = await browser.follow(asked)
    landed = await browser.post(page.forms[0]["action"], data={"approval": "approve"})
    refusal = await browser.post("/dex/auth", data=asking.auth_params(prompt="none"))
    begun = await browser.post(
        "/dex/auth", data=asking.auth_params(connector_id="pw", state="2")
    )
    assert "error" in refusal.params
    assert "code" in landed.params
    for answer in (asked, landed, refusal, begun):
        assert answer.status in (302, 303)


async def test_a_link_of_one_step_opens_no_other(asking):
    """T-FLOW-01."""
    browser = asking.browser()
    landed = await asking.log_in(browser, connector_id="pw")
    elsewhere = landed.location.replace("/approval?", "/auth?")
    assert (await browser.get(elsewhere)).status == 401
    altered = landed.location.replace("hmac=", "hmac=A")
    assert (await browser.get(altered)).status == 401


async def test_a_login_form_opens_only_in_the_browser_that_began(world):
    """T-FLOW-01."""
    form = await world.form(world.browser())
    assert form.status == 200
    stranger = world.browser()
    assert (await stranger.get(form.url)).status == 400
    planted = await stranger.post(form.url, data={"login": "jane", "password": "fox"})
    assert planted.status == 400


async def test_an_upstream_answer_counts_only_in_the_browser_that_began(asking):
    """T-FLOW-01."""
    upstream = await asking.ask(asking.browser(), connector_id="mock")
    stolen = await asking.browser().get(upstream.location)
    assert stolen.status == 400


async def test_two_tabs_finish_each_with_their_own_request(world):
    """T-FLOW-03."""
    browser = world.browser()
    first = await world.form(browser, state="first")
    second = await world.form(browser, state="second")
    fields = {"login": "jane", "password": "fox"}
    one = await browser.post(first.url, data=fields)
    other = await browser.post(second.url, data=fields)
    assert (one.params["state"], other.params["state"]) == ("first", "second")
    assert one.params["code"] != other.params["code"]


async def test_a_wrong_password_shows_the_form_again(world):
    page = await world.log_in(password="wrong", login="o'<b>")
    assert page.status == 401
    assert "login-error" in page.text
    assert "o&#39;&lt;b&gt;" in page.text
    again = await world.log_in(password="wrong")
    assert again.status == 401


async def test_too_many_wrong_passwords_have_to_wait(world):
    browser = world.browser()
    form = await world.form(browser)
    wrong = {"login": "jane", "password": "wrong"}
    statuses = [(await browser.post(form.url, data=wrong)).status for _ in range(105)]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    other = {"login": "joe", "password": "wrong"}
    assert (await browser.post(form.url, data=other)).status == 401


async def test_a_login_expires(world):
    browser = world.browser()
    form = await world.form(browser)
    world.clock.advance(hours=24, seconds=1)
    late = await browser.post(form.url, data={"login": "jane", "password": "fox"})
    assert late.status == 400


async def test_strangers_store_nothing(world):
    browser = world.browser()
    for n in range(200):
        answer = await world.ask(browser, state=str(n))
        assert answer.status == 302
        assert (await browser.get(answer.location)).status == 200
    assert await world.storage.auth_requests.list() == []


async def test_the_cookies_of_a_browser_stay_small(world):
    browser = world.browser()
    for n in range(40):
        await world.form(browser, state=f"{n}" * 100)
    cookies = [c for c in browser.session.cookie_jar if "flow" in c.key]
    assert sum(len(c.key) + len(c.value) for c in cookies) <= 6 * 1024
    assert len(cookies) > 3


async def test_a_state_of_kilobytes_works(world):
    huge = secrets.token_urlsafe(4000)  # random: it cannot be compressed
    landed = await world.log_in(state=huge)
    assert landed.params["state"] == huge
    assert await world.storage.auth_requests.list() == []


async def test_what_strangers_can_store_is_bounded(world):
    huge = secrets.token_urlsafe(4000)  # random: it cannot be compressed
    statuses = [
        (await world.ask(world.browser(), state=huge)).status for _ in range(200)
    ]
    assert statuses[0] == 302
    assert statuses[-1] == 429
    assert len(await world.storage.auth_requests.list()) < 200


async def test_the_cookie_is_kept_from_scripts_and_other_sites(world):
    answer = await world.ask(world.browser())
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("dexcore_flow_")
    for attribute in ("HttpOnly", "SameSite=Lax", "Path=/dex", "Max-Age=86400"):
        assert attribute in cookie
    assert "Secure" not in cookie
    assert "example-app" not in cookie


async def test_a_cookie_that_was_touched_counts_as_none(world):
    browser = world.browser()
    form = await world.form(browser)
    for cookie in browser.session.cookie_jar:
        value = cookie.value
        touched = value[:-2] + ("A" if value[-2] != "A" else "B") + value[-1]
        headers = {"Cookie": f"{cookie.key}={touched}"}
    answer = await world.browser().get(form.url, headers=headers)
    assert answer.status == 400


async def test_a_form_posted_across_sites_finds_its_flow_again(asking):
    browser = asking.browser()
    upstream = await asking.ask(browser, connector_id="mock")
    state = upstream.location.partition("state=")[2]
    crossing = asking.browser()  # the browser, without its Lax cookies
    bounced = await crossing.post("/dex/callback", data={"state": state, "code": "x"})
    assert bounced.status == 303
    arrived = await browser.get(bounced.location)
    assert arrived.status == 303
    assert "/approval?" in arrived.location
    assert (await browser.get(bounced.location)).status == 400


async def test_prompt_none_never_shows_a_page(asking):
    """T-AZ-08."""
    for path in ("/dex/auth", "/dex/auth/pw", "/dex/auth/mock"):
        answer = await asking.ask(asking.browser(), path=path, prompt="none")
        assert answer.params["error"] == "login_required"


async def test_the_way_back_leads_to_the_list_with_the_same_request(asking):
    browser = asking.browser()
    form = await asking.form(browser, connector_id="pw", prompt="consent", max_age="9")
    [back] = [link for link in form.links if link.startswith("/dex/auth?back=")]
    page = await browser.get(back)
    assert page.status == 200
    [again] = [link for link in page.links if link.startswith("/dex/auth/pw?")]
    form = await browser.follow(await browser.get(again))
    landed = await browser.post(form.url, data={"login": "jane", "password": "fox"})
    page = await browser.get(landed.location)
    landed = await browser.post(page.forms[0]["action"], data={"approval": "approve"})
    assert landed.params["state"] == "xyz"
    assert (await asking.exchange(landed.params["code"])).status == 200


async def test_the_way_back_is_open_to_nobody_else(asking):
    form = await asking.form(asking.browser(), connector_id="pw")
    [back] = [link for link in form.links if link.startswith("/dex/auth?back=")]
    assert (await asking.browser().get(back)).status == 400
