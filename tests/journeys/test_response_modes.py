"""How the answer gets to the client: ``response_mode``, and whose answer it is."""

import json

from urllib.parse import parse_qs, urlsplit

import pytest

from .conftest import CONFIG

CALLBACK = "http://127.0.0.1:5555/callback"
MODES = ["query", "fragment", "form_post"]
ODD = "a/b c&d=é\U0001f511+%2F\"'<>"


async def test_discovery_says_which_modes_there_are(world):
    path = "/dex/.well-known/openid-configuration"
    document = json.loads((await world.browser().get(path)).text)
    assert document["response_modes_supported"] == MODES
    assert document["authorization_response_iss_parameter_supported"] is True


@pytest.mark.parametrize("mode", MODES)
async def test_a_code_comes_by_the_mode_that_was_asked_for(world, mode):
    """T-DISC-06."""
    landed = await world.log_in(response_mode=mode, state=ODD)
    assert landed.mode == mode
    assert list(landed.params) == ["code", "state", "iss"]
    assert landed.params["state"] == ODD
    assert landed.params["iss"] == world.issuer
    tokens = await world.exchange(landed.params["code"])
    assert tokens.status == 200


@pytest.mark.parametrize("mode", MODES)
async def test_who_sends_no_state_gets_none_back(world, mode):
    """RFC 6749 section 4.1.2; clients that send none refuse one."""
    landed = await world.log_in(response_mode=mode, state="")
    assert list(landed.params) == ["code", "iss"]
    refused = await world.ask(
        world.browser(), response_mode=mode, prompt="none", state=""
    )
    assert list(refused.params) == ["error", "error_description", "iss"]


@pytest.mark.parametrize("mode", MODES)
async def test_a_refusal_before_the_login_comes_by_the_same_mode(world, mode):
    """T-DISC-06."""
    for path in ("/dex/auth", "/dex/auth/pw"):
        refused = await world.ask(
            world.browser(), path=path, response_mode=mode, prompt="none", state=ODD
        )
        assert refused.mode == mode
        assert refused.params["error"] == "login_required"
        assert refused.params["state"] == ODD
        assert refused.params["iss"] == world.issuer


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [10, 5000], ids=["in a cookie", "too large for one"])
async def test_a_refusal_at_a_later_page_comes_by_the_same_mode(world, mode, size):
    """T-DISC-06."""
    browser = world.browser()
    asked = await browser.follow(
        await world.log_in(
            browser, response_mode=mode, prompt="consent", state="s" * size
        )
    )
    [form, *_] = asked.forms
    no = form["fields"] | {"approval": "rejected"}
    refused = await browser.post(form["action"] or asked.url, data=no)
    assert refused.mode == mode
    assert refused.params["error"] == "access_denied"
    assert refused.params["state"] == "s" * size
    assert refused.params["iss"] == world.issuer


@pytest.mark.parametrize("mode", MODES)
async def test_a_code_after_consent_comes_by_the_same_mode(world, mode):
    browser = world.browser()
    asked = await browser.follow(
        await world.log_in(browser, response_mode=mode, prompt="consent")
    )
    [form, *_] = asked.forms
    yes = form["fields"] | {"approval": "approve"}
    landed = await browser.post(form["action"] or asked.url, data=yes)
    assert landed.mode == mode
    assert (await world.exchange(landed.params["code"])).status == 200
    assert await world.storage.supplements.list() == []


async def test_the_mode_is_not_lost_on_the_way_back(make_world):
    two = "- {type: mockCallback, id: cb, name: Callback}\nstaticClients:"
    world = await make_world(CONFIG.replace("staticClients:", two))
    browser = world.browser()
    form = await world.form(browser, response_mode="form_post", connector_id="pw")
    [back] = [link for link in form.links if "back=" in link]
    listed = await browser.get(back)
    assert all("response_mode=form_post" in link for link in listed.links[:2])
    again = await browser.follow(await browser.get(listed.links[-1]))
    landed = await browser.post(again.url, data={"login": "jane", "password": "fox"})
    assert landed.mode == "form_post"
    assert "code" in landed.params


@pytest.mark.parametrize("mode", ["bogus", "jwt", "Query", "web_message", "a b"])
async def test_a_mode_that_nobody_knows_is_refused_the_usual_way(world, mode):
    refused = await world.ask(world.browser(), response_mode=mode)
    assert refused.mode == "query"
    assert refused.params["error"] == "invalid_request"
    assert "response_mode" in refused.params["error_description"]


async def test_an_ordinary_login_that_names_its_mode_stores_nothing_more(world):
    landed = await world.log_in(response_mode="query")
    assert len(landed.params["code"]) == 33
    assert await world.storage.supplements.list() == []


@pytest.mark.parametrize("mode", MODES)
async def test_the_query_of_a_registered_redirect_uri_stays_in_every_mode(world, mode):
    uri = "https://app.example/cb?keep=1"
    landed = await world.log_in(redirect_uri=uri, response_mode=mode)
    if mode == "form_post":
        assert landed.forms[0]["action"] == uri
    else:
        assert landed.location.startswith(uri)
        query = parse_qs(urlsplit(landed.location).query)
        assert query["keep"] == ["1"]
        assert ("code" in query) is (mode == "query")


async def test_the_page_that_posts_may_not_be_kept_or_framed_and_needs_no_cookie(
    world,
):
    page = await world.log_in(response_mode="form_post", state=ODD)
    assert page.status == 200
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action" not in policy
    [form] = page.forms
    assert form["action"] == CALLBACK
    assert '<button class="dex-btn theme-btn--primary" type="submit">' in page.text
    cookies = page.headers.getall("Set-Cookie", [])
    assert [each for each in cookies if "Max-Age=0" not in each] == []


async def test_a_redirect_uri_cannot_forge_the_issuer(make_world):
    """T-DISC-06."""
    uri = "https://app.example/cb?iss=https://evil.example&keep=1"
    world = await make_world(CONFIG.replace("https://app.example/cb?keep=1", uri))
    landed = await world.log_in(redirect_uri=uri)
    assert parse_qs(urlsplit(landed.location).query)["iss"] == [world.issuer]
