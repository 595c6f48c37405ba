"""A device shows a code, its user types it elsewhere, and the device gets tokens."""

import asyncio
import json

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from dexcore.oauth2.subjects import encode_subject
from dexcore.storage import PKCE, AuthCode, DeviceRequest, DeviceToken

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123"
# The S256 challenge of the verifier above.
CHALLENGE = "v70ixSDfoBEDrDZV-0YABusoh_Ajp_a66XlJlwBHynw"
BOX = ("box", "a-secret-of-the-set-top-box")
CONFIG = """
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
oauth2: {skipApprovalScreen: true}
connectors:
- {type: mockPassword, id: pw, name: Passwords, config: {username: jane, password: fox}}
staticClients:
- {id: tv, public: true, name: The TV}
- {id: radio, public: true, name: The Radio}
- id: box
  redirectURIs: [/dex/device/callback]
  name: The Box
  secret: a-secret-of-the-set-top-box
- id: example-app
  redirectURIs: ['http://127.0.0.1:5555/callback']
  name: Example App
  secret: a-secret-of-the-example-app
"""


@pytest.fixture
async def world(make_world):
    return await make_world(CONFIG)


class Device:
    """Something without a keyboard."""

    def __init__(self, world, client=None, auth=None):
        self.world, self.auth = world, auth
        self.client = {} if auth else {"client_id": client or "tv"}

    async def begin(self, **form):
        form = {"scope": "openid email offline_access"} | self.client | form
        answer = await self.world.post("/dex/device/code", auth=self.auth, **form)
        if answer.status == 200:
            self.told = json.loads(answer.text)
        return answer

    async def poll(self, path="/dex/token", auth=None, **form):
        form = {"device_code": self.told["device_code"]} | self.client | form
        return await self.world.post(
            path, auth=auth or self.auth, grant_type=DEVICE, **form
        )

    async def asks(self, **form):
        """Poll; return the error."""
        answer = await self.poll(**form)
        assert answer.status == 400, answer.text
        return json.loads(answer.text)["error"]


async def type_in(browser, user_code):
    """Open the page, type the code and go on."""
    page = await browser.get("/dex/device")
    form = page.forms[0]
    return await browser.post(
        form["action"], data=form["fields"] | {"user_code": user_code}
    )


async def approve(world, device, browser=None, *, yes=True):
    """Do all of what the user does; return the last page."""
    browser = browser or world.browser()
    form = await browser.follow(await type_in(browser, device.told["user_code"]))
    asked = await browser.follow(
        await browser.post(form.url, data={"login": "jane", "password": "fox"})
    )
    answer = asked.forms[0 if yes else 1]
    landed = await browser.post(answer["action"], data=answer["fields"])
    return await browser.follow(landed)


@pytest.fixture
async def device(world):
    device = Device(world)
    assert (await device.begin()).status == 200
    return device


# — the device begins ------------------------------------------------------------------


async def test_a_device_is_told_what_to_show_and_how_often_to_ask(world, device):
    told = device.told
    assert told["verification_uri"] == "http://127.0.0.1:5556/dex/device"
    assert told["verification_uri_complete"] == (
        f"http://127.0.0.1:5556/dex/device?user_code={told['user_code']}"
    )
    assert (told["expires_in"], told["interval"]) == (300, 5)
    assert len(told["device_code"]) == 51
    letters = told["user_code"].replace("-", "", 1)
    assert len(letters) == 8
    assert set(letters) <= set("BCDFGHJKLMNPQRSTVWXZ")


async def test_what_a_device_is_told_must_not_be_kept(world):
    answer = await Device(world).begin()
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"


async def test_no_client_secret_is_stored_with_a_device(world):
    device = Device(world, auth=BOX)
    await device.begin()
    [request] = await world.storage.device_requests.list()
    assert (request.client_id, request.client_secret) == ("box", "")


@pytest.mark.parametrize(
    ("auth", "form", "status", "error"),
    [
        (None, {"client_id": "nobody"}, 401, "invalid_client"),
        (None, {"client_id": ""}, 401, "invalid_client"),
        (None, {"client_id": "box"}, 401, "invalid_client"),
        (("box", "wrong"), {}, 401, "invalid_client"),
        (
            ("example-app", "a-secret-of-the-example-app"),
            {},
            400,
            "unauthorized_client",
        ),
        (None, {"scope": "email"}, 400, "invalid_scope"),
        (None, {"scope": "openid everything"}, 400, "invalid_scope"),
        (
            None,
            {"scope": "openid audience:server:client_id:box"},
            400,
            "invalid_scope",
        ),
        (
            None,
            {"code_challenge": CHALLENGE, "code_challenge_method": "S512"},
            400,
            "invalid_request",
        ),
        (None, {"code_challenge": "short"}, 400, "invalid_request"),
    ],
    ids=[
        "unknown client",
        "no client",
        "confidential client without secret",
        "wrong secret",
        "client that has not registered our device page",
        "no openid",
        "unknown scope",
        "audience that does not trust the client",
        "unknown challenge method",
        "short challenge",
    ],
)
async def test_a_device_that_could_not_finish_does_not_begin(
    world, auth, form, status, error
):
    """T-DEV-03."""
    answer = await Device(world, auth=auth).begin(**form)
    assert (answer.status, json.loads(answer.text)["error"]) == (status, error)
    assert await world.storage.device_requests.list() == []


async def test_a_device_that_asks_for_nothing_asks_for_openid(world):
    device = Device(world)
    await device.begin(scope="")
    [request] = await world.storage.device_requests.list()
    assert request.scopes == ("openid",)


async def test_device_codes_are_asked_for_by_post(world):
    answer = await world.browser().get("/dex/device/code")
    assert answer.status == 400
    assert json.loads(answer.text)["error"] == "invalid_request"


async def test_strangers_have_only_so_many_codes_stored(world):
    statuses = [(await Device(world).begin()).status for _ in range(130)]
    assert set(statuses[:120]) == {200}
    assert statuses[-1] == 429
    assert (await Device(world, auth=BOX).begin()).status == 200


async def test_two_devices_never_show_the_same_code(world, monkeypatch):
    codes = iter(["BBBB-BBBB", "BBBB-BBBB", "CCCC-CCCC"])
    monkeypatch.setattr(
        "dexcore.server.tokens.devices.new_user_code", lambda: next(codes)
    )
    one, other = Device(world), Device(world)
    await one.begin()
    await other.begin()
    assert one.told["user_code"] == "BBBB-BBBB"
    assert other.told["user_code"] == "CCCC-CCCC"


# — the user ---------------------------------------------------------------------------


async def test_the_user_types_the_code_logs_in_agrees_and_the_device_gets_tokens(
    world, device
):
    assert await device.asks() == "authorization_pending"
    page = await approve(world, device)
    assert page.status == 200
    assert "The TV" in page.text
    world.clock.advance(seconds=5)
    answer = await device.poll()
    assert answer.status == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    tokens = json.loads(answer.text)
    assert tokens["token_type"] == "bearer"
    assert tokens["expires_in"] == 86399
    claims = await world.claims(tokens["id_token"])
    assert claims["sub"] == encode_subject("0-385-28089-0", "pw")
    assert claims["aud"] == "tv"
    assert claims["email"] == "kilgore@kilgore.trout"
    assert {"auth_time", "at_hash"} <= claims.keys()
    assert "nonce" not in claims
    assert (await world.userinfo(tokens["access_token"])).status == 200


async def test_a_device_may_refresh_what_it_got(world, device):
    await approve(world, device)
    tokens = json.loads((await device.poll()).text)
    again = await world.refresh(tokens["refresh_token"], auth=None, client_id="tv")
    assert again.status == 200, again.text


async def test_a_confidential_device_proves_itself_at_every_step(world):
    device = Device(world, auth=BOX)
    await device.begin()
    await approve(world, device)
    refused = await device.poll(auth=("box", "wrong"))
    assert refused.status == 401
    assert (await device.poll()).status == 200


async def test_the_user_agrees_on_a_page_that_names_the_client(world, device):
    """T-DEV-05."""
    # The file says skipApprovalScreen; RFC 8628 section 5.4 does not.
    browser = world.browser()
    form = await browser.follow(await type_in(browser, device.told["user_code"]))
    asked = await browser.follow(
        await browser.post(form.url, data={"login": "jane", "password": "fox"})
    )
    assert "/approval" in asked.url
    assert "The TV" in asked.text
    assert await device.asks() == "authorization_pending"


async def test_the_link_with_the_code_still_needs_a_click(world, device):
    """T-DEV-05."""
    browser = world.browser()
    page = await browser.get(
        "/dex/device", params={"user_code": device.told["user_code"]}
    )
    assert page.status == 200
    assert page.forms[0]["fields"]["user_code"] == device.told["user_code"]
    assert await device.asks() == "authorization_pending"


@pytest.mark.parametrize(
    "typed",
    [
        str.lower,
        lambda code: code.replace("-", ""),
        lambda code: f" {code[:4]} {code[5:]} ",
    ],
    ids=["lower case", "no dash", "spaces"],
)
async def test_it_does_not_matter_how_the_code_is_typed(world, device, typed):
    answer = await type_in(world.browser(), typed(device.told["user_code"]))
    assert answer.status == 302


async def test_the_way_to_log_in_asks_for_what_the_device_asked_for(world, device):
    answer = await type_in(world.browser(), device.told["user_code"])
    url = urlsplit(answer.location)
    assert url.path == "/dex/auth"
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert query == {
        "approval_prompt": "force",
        "client_id": "tv",
        "nonce": device.told["user_code"],
        "redirect_uri": "/dex/device/callback",
        "response_type": "code",
        "scope": "openid email offline_access",
        "state": device.told["user_code"],
    }


@pytest.mark.parametrize("typed", ["BBBB-BBBB", "hello", "", "BBBB-BBBB-B"])
async def test_a_wrong_code_shows_the_page_again(world, typed):
    page = await type_in(world.browser(), typed)
    assert page.status == 400
    assert "wrong or has expired" in page.text
    assert page.forms[0]["fields"]["user_code"] == typed


async def test_what_was_typed_is_not_markup(world):
    page = await type_in(world.browser(), '"><script>alert(1)</script>')
    assert "<script" not in page.text


async def test_an_expired_code_is_a_wrong_code(world, device):
    world.clock.advance(seconds=301)
    assert (await type_in(world.browser(), device.told["user_code"])).status == 400


async def test_codes_cannot_be_guessed_for_long(world, device):
    """T-DEV-01."""
    browser = world.browser()
    statuses = [(await type_in(browser, "BBBB-BBBB")).status for _ in range(6)]
    assert statuses == [400] * 5 + [429]
    right = await type_in(browser, device.told["user_code"])
    assert right.status == 429
    assert int(right.headers["Retry-After"]) > 0


async def test_right_codes_are_no_guesses(world):
    for _ in range(8):
        device = Device(world)
        await device.begin()
        answer = await type_in(world.browser(), device.told["user_code"])
        assert answer.status == 302


async def test_a_form_that_is_not_ours_is_refused(world, device):
    """T-DEV-05."""
    code = {"user_code": device.told["user_code"]}
    verify = "/dex/device/auth/verify_code"
    assert (await world.browser().post(verify, data=code)).status == 403
    browser = world.browser()
    page = await browser.get("/dex/device")
    foreign = await browser.post(
        verify,
        data=page.forms[0]["fields"] | code,
        headers={"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    )
    assert foreign.status == 403


async def test_a_link_alone_connects_no_device(world, device):
    """T-DEV-04: a link of somebody else leads past our page to the login only."""
    params = {
        "client_id": "tv",
        "redirect_uri": "/dex/device/callback",
        "response_type": "code",
        "scope": "openid",
        "state": device.told["user_code"],
    }
    browser = world.browser()
    form = await browser.follow(await browser.get("/dex/auth", params=params))
    page = await browser.follow(
        await browser.post(form.url, data={"login": "jane", "password": "fox"})
    )
    assert page.status == 400
    assert "Please start again" in page.text
    assert await device.asks() == "authorization_pending"


async def test_a_code_on_its_way_to_the_device_page_is_of_no_use_elsewhere(
    world, device
):
    browser = world.browser()
    form = await browser.follow(await type_in(browser, device.told["user_code"]))
    asked = await browser.follow(
        await browser.post(form.url, data={"login": "jane", "password": "fox"})
    )
    yes = asked.forms[0]
    landed = await browser.post(yes["action"], data=yes["fields"])
    taken = await world.exchange(
        landed.params["code"],
        auth=None,
        client_id="tv",
        redirect_uri="/dex/device/callback",
    )
    assert json.loads(taken.text)["error"] == "invalid_grant"
    assert (await browser.follow(landed)).status == 200


async def test_a_user_who_says_no_lets_the_device_know(world, device):
    """T-DEV-02."""
    page = await approve(world, device, yes=False)
    assert page.status == 200
    assert "Access was denied" in page.text
    assert await device.asks() == "access_denied"
    assert await device.asks() == "access_denied"


async def test_a_code_is_used_up_by_whoever_logs_in_first(world, device):
    one, other = world.browser(), world.browser()
    form = await other.follow(await type_in(other, device.told["user_code"]))
    assert (await approve(world, device, one)).status == 200
    asked = await other.follow(
        await other.post(form.url, data={"login": "jane", "password": "fox"})
    )
    late = asked.forms[0]
    page = await other.follow(await other.post(late["action"], data=late["fields"]))
    assert page.status == 400
    assert "Invalid or expired user code" in page.text
    assert (await type_in(other, device.told["user_code"])).status == 400


async def test_a_login_that_fails_leaves_the_device_waiting(world, device):
    browser = world.browser()
    await type_in(browser, device.told["user_code"])
    page = await browser.get(
        "/dex/device/callback",
        params={"error": "server_error", "state": device.told["user_code"]},
    )
    assert page.status == 400
    assert await device.asks() == "authorization_pending"
    assert (await approve(world, device, browser)).status == 200


@pytest.mark.parametrize(
    "params",
    [{}, {"code": "x"}, {"state": "BBBB-BBBB"}, {"code": "x", "state": "BBBB-BBBB"}],
    ids=["nothing", "no state", "no code", "not of this browser"],
)
async def test_a_broken_way_back_is_a_page(world, params):
    page = await world.browser().get("/dex/device/callback", params=params)
    assert page.status == 400
    assert page.headers["Content-Type"].startswith("text/html")


async def test_the_code_of_another_client_connects_no_device(world, device):
    """T-DEV-04."""
    await world.storage.auth_codes.create(
        AuthCode(
            "stolen",
            "radio",
            "/dex/device/callback",
            nonce=device.told["user_code"],
            scopes=("openid",),
            connector_id="pw",
            expiry=world.clock() + timedelta(minutes=5),
        )
    )
    browser = world.browser()
    await type_in(browser, device.told["user_code"])
    page = await browser.get(
        "/dex/device/callback",
        params={"code": "stolen", "state": device.told["user_code"]},
    )
    assert page.status == 400
    assert await device.asks() == "authorization_pending"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/dex/device"),
        ("GET", "/dex/device/auth/verify_code"),
        ("POST", "/dex/device/callback"),
    ],
)
async def test_other_methods_are_pages_that_say_so(world, method, path):
    browser = world.browser()
    page = await (browser.get if method == "GET" else browser.post)(path)
    assert page.status == 405
    assert page.headers["Content-Type"].startswith("text/html")


async def test_enforced_pkce_does_not_stop_devices(make_world):
    text = CONFIG.replace("oauth2: {", "oauth2: {pkce: {enforce: true}, ")
    world = await make_world(text)
    device = Device(world)
    await device.begin()
    assert (await approve(world, device)).status == 200
    assert (await device.poll()).status == 200


# — the device polls -------------------------------------------------------------------


async def test_a_device_that_asks_too_often_must_wait_longer_and_longer(world, device):
    """T-DEV-02."""
    clock = world.clock
    assert await device.asks() == "authorization_pending"  # the first comes at once
    clock.advance(seconds=5)
    assert await device.asks() == "authorization_pending"
    clock.advance(seconds=4)
    assert await device.asks() == "slow_down"  # 10 seconds from now on
    clock.advance(seconds=9)
    assert await device.asks() == "slow_down"  # 15
    clock.advance(seconds=15)
    assert await device.asks() == "authorization_pending"
    clock.advance(seconds=14)
    assert await device.asks() == "slow_down"  # it is not forgotten


async def test_a_device_that_asks_too_often_gets_its_tokens_all_the_same(world, device):
    await device.asks()
    assert await device.asks() == "slow_down"
    await approve(world, device)
    assert (await device.poll()).status == 200


async def test_a_device_code_expires(world, device):
    """T-DEV-02."""
    world.clock.advance(seconds=301)
    assert await device.asks() == "expired_token"


async def test_an_approved_device_code_expires_too(world, device):
    await approve(world, device)
    world.clock.advance(seconds=301)
    assert await device.asks() == "expired_token"


async def test_a_device_code_works_once(world, device):
    """T-DEV-06."""
    await approve(world, device)
    assert (await device.poll()).status == 200
    assert await device.asks() == "invalid_request"
    assert await world.storage.device_tokens.list() == []


async def test_of_many_polls_at_once_one_gets_the_tokens(world, device):
    await approve(world, device)
    answers = await asyncio.gather(*(device.poll() for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [200] + [400] * 19


@pytest.mark.parametrize("when", ["before", "after"])
async def test_another_client_learns_nothing_and_takes_nothing(world, device, when):
    """T-DEV-06."""
    if when == "after":
        await approve(world, device)
    thief = Device(world, client="radio")
    thief.told = device.told
    stolen = await thief.poll()
    unknown = await thief.poll(device_code="a" * 51)
    assert (stolen.status, stolen.text) == (unknown.status, unknown.text)
    assert json.loads(stolen.text)["error"] == "invalid_request"
    if when == "after":
        assert (await device.poll()).status == 200
    else:
        assert await device.asks() == "authorization_pending"


async def test_a_poll_says_who_asks(world, device):
    answer = await device.poll(client_id="")
    assert (answer.status, json.loads(answer.text)["error"]) == (401, "invalid_client")


async def test_a_poll_brings_a_device_code(world, device):
    assert await device.asks(device_code="") == "invalid_request"


@pytest.mark.parametrize(
    ("verifier", "error"),
    [("", "invalid_grant"), ("y" * 50, "invalid_grant"), (VERIFIER, None)],
)
async def test_a_device_proves_its_challenge(world, verifier, error):
    """T-PKCE-06."""
    device = Device(world)
    await device.begin(code_challenge=CHALLENGE, code_challenge_method="S256")
    await approve(world, device)
    answer = await device.poll(code_verifier=verifier)
    assert json.loads(answer.text).get("error") == error


async def test_a_verifier_without_a_challenge_is_refused(world, device):
    """T-PKCE-06: somebody may have removed the challenge (RFC 9700 section 4.8.2)."""
    await approve(world, device)
    assert await device.asks(code_verifier=VERIFIER) == "invalid_grant"
    assert (await device.poll()).status == 200


async def test_a_wrong_verifier_does_not_use_up_the_code(world):
    device = Device(world)
    await device.begin(code_challenge=CHALLENGE, code_challenge_method="S256")
    await approve(world, device)
    assert await device.asks(code_verifier="y" * 50) == "invalid_grant"
    assert (await device.poll(code_verifier=VERIFIER)).status == 200


async def test_devices_of_old_poll_elsewhere(world, device):
    await approve(world, device)
    other = await world.post("/dex/device/token", grant_type="authorization_code")
    assert json.loads(other.text)["error"] == "unsupported_grant_type"
    assert (await device.poll("/dex/device/token")).status == 200


async def test_polls_are_not_written_down_but_tokens_are(world, device, caplog):
    caplog.set_level("INFO")
    await device.asks()
    await approve(world, device)
    await device.poll()
    events = [each.getMessage() for each in caplog.records if "audit" in each.name]
    assert "token refused" not in events
    assert events.count("token issued") == 1
    assert events.count("device connected") == 1


async def test_neither_of_the_codes_is_written_down(world, caplog):
    caplog.set_level("DEBUG")
    device = Device(world)
    await device.begin()
    await world.browser().get(f"/dex/device?user_code={device.told['user_code']}")
    await approve(world, device)
    tokens = json.loads((await device.poll()).text)
    said = "".join(
        f"{each.getMessage()} {each.__dict__}"
        for each in caplog.records
        if each.name.startswith("dexcore")
    )
    assert "device connected" in said
    for secret in (
        device.told["device_code"],
        device.told["user_code"],
        tokens["access_token"],
        tokens["refresh_token"],
    ):
        assert secret not in said


# — switched on and off, and what dex has begun ----------------------------------------


async def test_discovery_names_where_devices_begin(world):
    document = json.loads(
        (await world.browser().get("/dex/.well-known/openid-configuration")).text
    )
    assert document["device_authorization_endpoint"] == (
        "http://127.0.0.1:5556/dex/device/code"
    )
    assert DEVICE in document["grant_types_supported"]


async def test_without_the_grant_there_is_no_device_page(make_world):
    text = CONFIG.replace("oauth2: {", "oauth2: {grantTypes: [authorization_code], ")
    world = await make_world(text)
    browser = world.browser()
    assert (await browser.get("/dex/device")).status == 404
    assert (await Device(world).begin()).status == 404
    document = (await browser.get("/dex/.well-known/openid-configuration")).text
    assert "device" not in document


async def test_a_device_that_began_at_dex_goes_on_here(world):
    later = world.clock() + timedelta(minutes=5)
    device = Device(world)
    device.told = {"user_code": "BCDF-GHJK", "device_code": "d" * 51}
    await world.storage.device_requests.create(
        DeviceRequest("BCDF-GHJK", "d" * 51, "tv", "", ("openid",), later)
    )
    await world.storage.device_tokens.create(
        DeviceToken(
            "d" * 51,
            "authorization_pending",
            "",
            later,
            world.clock(),
            0,
            PKCE("", "plain"),
        )
    )
    assert await device.asks() == "authorization_pending"
    assert (await approve(world, device)).status == 200
    assert (await device.poll()).status == 200


async def test_tokens_that_dex_has_left_for_a_device_are_not_handed_out(world):
    later = world.clock() + timedelta(minutes=5)
    await world.storage.device_tokens.create(
        DeviceToken("d" * 51, "complete", '{"access_token": "x"}', later)
    )
    device = Device(world)
    device.told = {"device_code": "d" * 51}
    assert await device.asks() == "expired_token"
