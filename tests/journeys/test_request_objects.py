"""Authorization requests in a JWT of the client (Core section 6.1, RFC 9101)."""

import json
import re

from datetime import datetime
from types import SimpleNamespace
from urllib.parse import urlencode

import orjson
import pytest

from dexcore.jose import b64encode
from dexcore.testing.client_key import ClientKey
from dexcore.testing.upstreams import Upstream

from .conftest import CALLBACK, CONFIG
from .shown import blocks, exchanges, read

ISSUER = "http://127.0.0.1:5556/dex"
KEY, OTHER_KEY = ClientKey(), ClientKey()
ASKED = {
    "client_id": "example-app",
    "response_type": "code",
    "redirect_uri": CALLBACK,
    "scope": "openid email",
    "state": "af0ifjsldkj",
}
BESIDE = {"client_id": "example-app", "response_type": "code", "scope": "openid"}


def described(metadata):
    return CONFIG.replace(
        "  name: Example App\n",
        f"  name: Example App\n  metadata: {json.dumps(metadata)}\n",
    )


@pytest.fixture
async def signing(make_world):
    """A provider whose client has a key."""
    return await make_world(described({"jwks": KEY.jwks}))


def signed(world, key=KEY, **claims):
    now = int(world.clock().timestamp())
    said = {"iss": "example-app", "aud": ISSUER, "iat": now, "exp": now + 60}
    said |= ASKED | claims
    return key.sign(
        {k: v for k, v in said.items() if v is not None}, typ="oauth-authz-req+jwt"
    )


def unsigned(**claims):
    head, body = {"alg": "none"}, ASKED | claims
    return f"{b64encode(orjson.dumps(head))}.{b64encode(orjson.dumps(body))}."


async def ask(world, request, browser=None, **beside):
    query = urlencode(BESIDE | beside | {"request": request})
    return await (browser or world.browser()).get(f"/dex/auth?{query}")


async def log_in(world, request, **beside):
    browser = world.browser()
    form = await browser.follow(await ask(world, request, browser, **beside))
    assert form.status == 200, form.text
    return await browser.post(form.url, data={"login": "jane", "password": "fox"})


async def test_the_object_says_what_is_asked(signing):
    landed = await log_in(signing, signed(signing))
    assert landed.location.startswith(CALLBACK)
    assert landed.params["state"] == ASKED["state"]
    tokens = json.loads((await signing.exchange(landed.params["code"])).text)
    assert tokens["id_token"]


async def test_the_object_goes_before_what_stands_beside_it(signing):
    landed = await log_in(
        signing,
        signed(signing),
        state="x",
        redirect_uri="https://app.example/cb?keep=1",
    )
    assert landed.location.startswith(CALLBACK)
    assert landed.params["state"] == ASKED["state"]


async def test_what_the_object_leaves_out_may_stand_beside_it(signing):
    request = signed(signing, state=None, redirect_uri=None)
    landed = await log_in(signing, request, state="beside", redirect_uri=CALLBACK)
    assert landed.params["state"] == "beside"


async def test_of_a_client_that_must_sign_only_the_object_counts(make_world):
    world = await make_world(
        described({"jwks": KEY.jwks, "require_signed_request_object": True})
    )
    landed = await log_in(world, signed(world, state=None), state="beside")
    assert landed.params.get("state", "") == ""
    plain = await world.browser().get("/dex/auth?" + urlencode(ASKED))
    assert plain.params["error"] == "invalid_request"
    assert "signed" in plain.params["error_description"]


async def test_numbers_and_objects_are_as_json_writes_them(signing):
    refused = await log_in(signing, signed(signing, max_age=300))
    assert "code" in refused.params
    refused = await ask(signing, signed(signing, max_age=-1))
    assert refused.params["error"] == "invalid_request"


async def test_an_object_lists_the_apis_that_tokens_are_for(make_world):
    apis = ["urn:one", "urn:two"]
    text = (
        described({"jwks": KEY.jwks}) + "resources: [{id: 'urn:one'}, {id: 'urn:two'}]"
    )
    world = await make_world(text)
    landed = await log_in(world, signed(world, resource=apis), resource="urn:beside")
    tokens = json.loads((await world.exchange(landed.params["code"])).text)
    assert (await world.claims(tokens["access_token"]))["aud"] == apis
    refused = await ask(world, signed(world, resource=["urn:one", {"a": 1}, 2]))
    assert "error" in refused.params


def changes(world):
    now = int(world.clock().timestamp())
    return {
        "another key": signed(world, OTHER_KEY),
        "no signature": unsigned(),
        "altered": signed(world)[:-4] + "AAAA",
        "no JWT": "nonsense",
        "too many parts": signed(world) + ".x.y",
        "expired": signed(world, exp=now - 3600),
        "not yet": signed(world, nbf=now + 3600),
        "no time": signed(world, exp="tomorrow"),
        "infinite": signed(world, exp=True),
        "another client": signed(world, client_id="other-app"),
        "another issuer": signed(world, iss="other-app"),
        "for somebody else": signed(world, aud="https://other.example"),
        "an assertion": signed(world, sub="example-app"),
        "another response type": signed(world, response_type="id_token"),
        "a request in a request": signed(world, request=signed(world)),
        "a reference in a request": signed(world, request_uri="https://a.example/"),
        "a list": signed(world, scope=["openid"]),
        "another type": KEY.sign(ASKED, typ="client-authentication+jwt"),
        "an ID token": KEY.sign(ASKED, typ="at+jwt"),
    }


@pytest.mark.parametrize("what", changes(SimpleNamespace(clock=datetime.now)))
async def test_an_object_that_is_wrong_is_refused(signing, what):
    answer = await ask(
        signing, changes(signing)[what], redirect_uri=CALLBACK, state="s"
    )
    assert answer.location.startswith(CALLBACK), answer.text
    assert answer.params["error"] == "invalid_request_object"
    assert answer.params["state"] == "s"
    assert await signing.storage.auth_requests.list() == []


async def test_whom_to_tell_is_not_taken_from_a_wrong_object(signing):
    answer = await ask(signing, signed(signing, OTHER_KEY))
    assert answer.status == 400
    assert "Location" not in answer.headers


async def test_a_client_without_keys_is_told_that_it_has_none(world):
    answer = await ask(world, signed(world), redirect_uri=CALLBACK)
    assert answer.params["error"] == "request_not_supported"


async def test_an_unsigned_object_needs_a_client_that_has_said_so(make_world):
    world = await make_world(described({"request_object_signing_alg": "none"}))
    landed = await log_in(world, unsigned())
    assert landed.params["state"] == ASKED["state"]
    refused = await ask(world, signed(world), redirect_uri=CALLBACK)
    assert refused.params["error"] == "invalid_request_object"


async def test_only_the_registered_algorithm_counts(make_world):
    metadata = {"jwks": KEY.jwks, "request_object_signing_alg": "RS256"}
    world = await make_world(described(metadata))
    refused = await ask(world, signed(world), redirect_uri=CALLBACK)
    assert refused.params["error"] == "invalid_request_object"


async def test_an_unknown_client_hears_nothing(signing):
    answer = await ask(signing, signed(signing), client_id="nobody")
    assert answer.status == 400
    assert "Location" not in answer.headers


async def test_no_address_that_a_browser_brings_is_opened(signing):
    """T-AZ-07."""
    with Upstream({"/request.jwt": signed(signing)}) as canary:
        query = urlencode(ASKED | {"request_uri": f"{canary.url}/request.jwt"})
        answer = await signing.browser().get(f"/dex/auth?{query}")
        assert answer.params["error"] == "request_uri_not_supported"
        assert canary.requests == []


async def test_a_signed_request_may_be_pushed(make_world):
    world = await make_world(
        described({"jwks": KEY.jwks, "require_signed_request_object": True})
    )
    request = signed(world)
    answer = await world.post("/dex/par", request=request)
    assert answer.status == 201, answer.text
    world.clock.advance(minutes=5)
    assert (await ask(world, request, redirect_uri=CALLBACK)).params[
        "error"
    ] == "invalid_request_object"
    browser = world.browser()
    request_uri = json.loads(answer.text)["request_uri"]
    query = urlencode({"client_id": "example-app", "request_uri": request_uri})
    form = await browser.follow(await browser.get(f"/dex/auth?{query}"))
    landed = await browser.post(form.url, data={"login": "jane", "password": "fox"})
    assert landed.params["state"] == ASKED["state"]
    plain = await world.post("/dex/par", **ASKED)
    assert json.loads(plain.text)["error"] == "invalid_request"
    wrong = await world.post("/dex/par", request=signed(world, OTHER_KEY))
    assert json.loads(wrong.text)["error"] == "invalid_request_object"


async def test_the_choice_of_connectors_outlives_the_object(make_world):
    other = "- {type: mockCallback, id: mock, name: Mock, config: {}}\nstaticClients:"
    text = described({"jwks": KEY.jwks, "require_signed_request_object": True})
    world = await make_world(text.replace("staticClients:", other))
    browser = world.browser()
    page = await ask(world, signed(world), browser)
    assert page.status == 200
    assert ASKED["state"] not in page.text
    world.clock.advance(minutes=30)
    link = next(link for link in page.links if "/auth/pw" in link)
    form = await browser.follow(await browser.get(link))
    back = next(link for link in form.links if "back=" in link)
    again = await browser.get(back)
    link = next(link for link in again.links if "/auth/pw" in link)
    form = await browser.follow(await browser.get(link))
    landed = await browser.post(form.url, data={"login": "jane", "password": "fox"})
    assert landed.params["state"] == ASKED["state"]
    # In another browser it is good for nothing.
    assert (await world.browser().get(link)).status == 400


async def test_a_link_cannot_change_what_is_asked(signing):
    """All that a link may say is whether an account is chosen."""
    browser = signing.browser()
    silent = await ask(signing, signed(signing, prompt="login"), browser)
    flow = re.search(r"state=([a-z0-9]+)", silent.location)[1]
    changed = await browser.get(f"/dex/auth/pw?flow={flow}&prompt=none&state=x&scope=y")
    form = await browser.follow(changed)
    landed = await browser.post(form.url, data={"login": "jane", "password": "fox"})
    assert landed.params["state"] == ASKED["state"]


async def test_the_page_says_what_happens(make_world):
    page = read("request-objects.md")
    told = json.loads(blocks(page, "json")[0])
    example = blocks(page, "yaml")[0]
    head = CONFIG[: CONFIG.index("staticClients:")]
    keys = "jwks: " + json.dumps(KEY.jwks)
    example = example.replace("jwks_uri: https://bank.example/keys", keys)
    world = await make_world(head + example)
    [(request, written)] = exchanges(page)
    said = told | {"exp": int(world.clock().timestamp()) + 60}
    answer = await world.browser().get(
        request.target.replace("REQUEST_OBJECT", KEY.sign(said))
    )
    assert answer.status == written.status, answer.text
    found = json.loads(
        (await world.browser().get("/dex/.well-known/openid-configuration")).text
    )
    assert found["request_parameter_supported"] is True
    assert "ES256" in found["request_object_signing_alg_values_supported"]
