"""Authorization requests that the client has pushed (RFC 9126)."""

import json

from urllib.parse import urlencode

import pytest

from .conftest import CALLBACK, CHALLENGE, CONFIG, VERIFIER
from .shown import blocks, exchanges, read

ASKED = {
    "response_type": "code",
    "redirect_uri": CALLBACK,
    "scope": "openid email",
    "state": "af0ifjsldkj",
}


async def push(world, **form):
    answer = await world.post("/dex/par", **ASKED | form)
    return answer.status, json.loads(answer.text)


async def pushed(world, **form):
    status, body = await push(world, **form)
    assert status == 201, body
    return body["request_uri"]


def url(request_uri, client_id="example-app", path="/dex/auth", **more):
    query = {"client_id": client_id, "request_uri": request_uri} | more
    return f"{path}?{urlencode(query)}"


async def log_in(world, browser, there):
    form = await browser.follow(await browser.get(there))
    assert form.status == 200, form.text
    return await browser.post(form.url, data={"login": "jane", "password": "fox"})


@pytest.fixture
async def two(make_world):
    """A provider with a choice of connectors."""
    other = "- {type: mockCallback, id: mock, name: Mock, config: {}}\nstaticClients:"
    return await make_world(CONFIG.replace("staticClients:", other))


async def test_a_pushed_request_ends_in_tokens(world):
    request_uri = await pushed(
        world, code_challenge=CHALLENGE, code_challenge_method="S256"
    )
    landed = await log_in(world, world.browser(), url(request_uri))
    assert landed.params["state"] == ASKED["state"]
    refused = await world.exchange(landed.params["code"])
    assert refused.status == 400
    answer = await world.exchange(landed.params["code"], code_verifier=VERIFIER)
    assert answer.status == 200
    assert "id_token" in json.loads(answer.text)


async def test_what_the_browser_adds_does_not_count(world):
    request_uri = await pushed(world)
    there = url(
        request_uri,
        redirect_uri="https://app.example/cb?keep=1",
        scope="openid groups offline_access",
        state="another",
        nonce="n",
    )
    landed = await log_in(world, world.browser(), there)
    assert landed.location.startswith(CALLBACK)
    assert landed.params["state"] == ASKED["state"]
    tokens = json.loads((await world.exchange(landed.params["code"])).text)
    assert "refresh_token" not in tokens


async def test_a_request_uri_is_good_for_one_code(world):
    request_uri = await pushed(world)
    browser = world.browser()
    assert (await browser.get(url(request_uri))).status == 302
    landed = await log_in(world, browser, url(request_uri))
    assert "code" in landed.params
    again = await browser.get(url(request_uri))
    assert again.status == 400
    assert "used before" in again.text


async def test_a_request_uri_expires(world):
    request_uri = await pushed(world)
    world.clock.advance(minutes=10, seconds=1)
    assert (await world.browser().get(url(request_uri))).status == 400


async def test_a_request_uri_of_another_client_is_good_for_nothing(world):
    request_uri = await pushed(world)
    stolen = await world.browser().get(url(request_uri, client_id="other-app"))
    assert stolen.status == 400
    assert "Location" not in stolen.headers
    assert "code" in (await log_in(world, world.browser(), url(request_uri))).params


@pytest.mark.parametrize(
    "guess", ["", "x", "a" * 33, "../../clients", "'; DROP TABLE client", "a" * 5000]
)
async def test_a_request_uri_that_nobody_pushed_is_a_page(world, guess):
    there = url("urn:ietf:params:oauth:request_uri:" + guess)
    answer = await world.browser().get(there)
    assert answer.status == 400
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"scope": "email"}, "invalid_scope"),
        ({"response_type": "nonsense"}, "invalid_request"),
        ({"redirect_uri": "https://evil.example/"}, "invalid_request"),
        ({"request_uri": "urn:ietf:params:oauth:request_uri:x"}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
    ],
)
async def test_a_wrong_request_is_refused_when_it_is_pushed(world, form, error):
    status, body = await push(world, **form)
    assert (status, body["error"]) == (400, error)
    assert await world.storage.parked_forms.list() == []


async def test_who_pushes_must_prove_who_it_is(world):
    answer = await world.post("/dex/par", auth=("example-app", "wrong"), **ASKED)
    assert answer.status == 401
    assert json.loads(answer.text)["error"] == "invalid_client"
    other = await world.post(
        "/dex/par", auth=("other-app", "a-secret-of-the-other-app"), **ASKED
    )
    assert other.status == 400  # that redirect URI is not its own


async def test_a_secret_is_not_kept_with_the_request(world):
    form = ASKED | {
        "client_id": "example-app",
        "client_secret": "a-secret-of-the-example-app",
    }
    answer = await world.post("/dex/par", auth=None, **form)
    assert answer.status == 201
    (kept,) = await world.storage.parked_forms.list()
    assert kept.fields == ASKED | {"client_id": "example-app"}


async def test_only_post_is_answered(world):
    answer = await world.browser().get("/dex/par")
    assert answer.status == 400
    assert json.loads(answer.text)["error"] == "invalid_request"


async def test_the_choice_of_connectors_shows_nothing_of_the_request(two):
    request_uri = await pushed(two)
    browser = two.browser()
    page = await browser.get(url(request_uri))
    assert page.status == 200
    assert ASKED["state"] not in page.text
    link = next(link for link in page.links if "/auth/pw" in link)
    form = await browser.follow(await browser.get(link))
    back = next(link for link in form.links if "back=" in link)
    again = await browser.get(back)
    assert again.status == 200
    assert ASKED["state"] not in again.text
    link = next(link for link in again.links if "/auth/pw" in link)
    landed = await log_in(two, browser, link)
    assert landed.params["state"] == ASKED["state"]


async def test_no_link_leads_away_from_the_connector_that_was_pushed(two):
    browser = two.browser()
    form = await browser.follow(
        await browser.get(url(await pushed(two, connector_id="pw")))
    )
    assert not [link for link in form.links if "back=" in link]
    flow = form.url.rpartition("state=")[2]
    elsewhere = await browser.get(f"/dex/auth/mock?flow={flow}")
    assert elsewhere.status == 400
    assert "Location" not in elsewhere.headers
    for link in (f"/dex/auth?back={flow}", f"/dex/auth/pw?flow={flow}"):
        again = await browser.follow(await browser.get(link))
        assert again.url == form.url
    landed = await browser.post(form.url, data={"login": "jane", "password": "fox"})
    assert "code" in landed.params


async def test_strangers_cannot_fill_the_storage(world):
    form = {"client_id": "native", "response_type": "code", "scope": "openid"}
    form |= {"redirect_uri": "http://127.0.0.1:1/", "auth": None}
    answers = [await world.post("/dex/par", **form) for _ in range(300)]
    taken = [each for each in answers if each.status == 201]
    assert {each.status for each in answers} == {201, 429}
    assert len(await world.storage.parked_forms.list()) == len(taken)
    # A burst of 120, and one for each second that this takes.
    assert 120 <= len(taken) < 250


@pytest.mark.parametrize("everybody", [True, False])
async def test_who_must_push_cannot_do_without(make_world, everybody):
    if everybody:
        text = CONFIG.replace(
            "oauth2: {", "oauth2: {requirePushedAuthorizationRequests: true, "
        )
    else:
        text = CONFIG.replace(
            "  name: Example App\n",
            "  name: Example App\n"
            "  metadata: {require_pushed_authorization_requests: true}\n",
        )
    world = await make_world(text)
    refused = await world.browser().get(
        "/dex/auth?" + urlencode(ASKED | {"client_id": "example-app"})
    )
    assert refused.params["error"] == "invalid_request"
    assert "pushed" in refused.params["error_description"]
    request_uri = await pushed(world)
    assert "code" in (await log_in(world, world.browser(), url(request_uri))).params
    found = json.loads(
        (await world.browser().get("/dex/.well-known/openid-configuration")).text
    )
    assert found["require_pushed_authorization_requests"] is everybody
    assert found["pushed_authorization_request_endpoint"].endswith("/dex/par")


@pytest.mark.parametrize(
    "metadata",
    [
        "{require_pushed_authorization_requests: true}",
        "{require_signed_request_object: true, request_object_signing_alg: ES256,"
        " jwks_uri: 'http://127.0.0.1:1/keys'}",
    ],
)
async def test_a_form_from_upstream_is_no_pushed_request(make_world, metadata):
    """Anybody may post to the callback, where forms are kept for a moment."""
    world = await make_world(
        CONFIG.replace(
            "  name: Example App\n",
            f"  name: Example App\n  metadata: {metadata}\n",
        )
    )
    form = ASKED | {"client_id": "example-app", " signed": "yes"}
    kept = await world.post("/dex/callback", auth=None, **form)
    there = url("urn:ietf:params:oauth:request_uri:" + kept.params["parked"])
    answer = await world.browser().get(there)
    assert answer.status == 400
    assert "Location" not in answer.headers


async def test_a_client_cannot_say_itself_that_it_has_signed(world):
    request_uri = await pushed(world, **{" signed": "yes"})
    (kept,) = await world.storage.parked_forms.list()
    assert kept.fields == ASKED | {"client_id": "example-app"}
    assert "code" in (await log_in(world, world.browser(), url(request_uri))).params


async def test_prompt_none_is_silent_also_when_pushed(world):
    request_uri = await pushed(world, prompt="none")
    answer = await world.browser().get(url(request_uri, prompt=""))
    assert answer.params["error"] == "login_required"


# — the page ---------------------------------------------------------------------------


async def test_the_page_says_what_happens(make_world):
    page = read("pushed-requests.md")
    world = await make_world(blocks(page, "yaml")[0])
    said, really = "", ""
    shown = exchanges(page)
    assert len(shown) == 3
    for request, written in shown:
        target = request.target.replace(said, really) if said else request.target
        answer = await world.browser()._send(
            request.method, target, data=request.body or None, headers=request.headers
        )
        assert answer.status == written.status, answer.text
        for name, value in written.headers.items():
            assert answer.headers[name] == value
        if not written.body:
            continue
        expected, found = json.loads(written.body), json.loads(answer.text)
        assert list(found) == list(expected)
        if "request_uri" in expected:
            said = expected.pop("request_uri").rpartition(":")[2]
            really = found.pop("request_uri").rpartition(":")[2]
            assert len(said) == len(really)
        assert found == expected
