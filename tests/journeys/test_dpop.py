"""Tokens for whoever holds a key, and for nobody else (RFC 9449)."""

import asyncio
import json

from urllib.parse import parse_qsl, urlsplit

import aiohttp
import attrs
import pytest

from aiohttp import web
from aiohttp.test_utils import TestServer

from dexcore.oauth2.dpop import SIGNING_ALGORITHMS
from dexcore.server.channels import Channels
from dexcore.server.granting import Granting, Tokens
from dexcore.server.guard import Guard
from dexcore.testing.dpop import ProofKey

CALLBACK = "http://127.0.0.1:5555/callback"
BASIC = ("example-app", "a-secret-of-the-example-app")
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
TYPE = "urn:ietf:params:oauth:token-type:"
CONFIG = """
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556, allowedOrigins: ['https://spa.example.com']}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
expiry: {refreshTokens: {reuseInterval: 3s}}
oauth2:
  skipApprovalScreen: true
  responseTypes: [code, id_token, token]
  passwordConnector: pw
  dpop: {requireNonce: %s}
  grantTypes: [authorization_code, implicit, refresh_token, password,
    client_credentials,
    'urn:ietf:params:oauth:grant-type:token-exchange',
    'urn:ietf:params:oauth:grant-type:device_code']
connectors:
- {type: mockPassword, id: pw, name: Passwords, config: {username: jane, password: fox}}
- type: mockCallback
  id: up
  name: Up
  grantTypes: ['urn:ietf:params:oauth:grant-type:token-exchange']
staticClients:
- id: example-app
  redirectURIs: ['http://127.0.0.1:5555/callback', /dex/device/callback]
  name: Example App
  secret: a-secret-of-the-example-app
- {id: native, public: true, name: Native App}
- id: bound
  redirectURIs: ['http://127.0.0.1:5555/callback']
  name: Bound App
  secret: a-secret-of-the-bound-app
  metadata: {dpop_bound_access_tokens: true}
resources: [{id: 'urn:api'}]
"""


class Prover:
    """A client with a key."""

    def __init__(self, world, key=None, auth=BASIC):
        self.world, self.key, self.auth = world, key or ProofKey(), auth
        self.nonce = None

    def proof(self, path="/dex/token", method="POST", **more):
        if self.nonce:
            more = {"nonce": self.nonce} | more
        url = "http://127.0.0.1:5556" + path
        claims = {"iat": int(self.world.clock().timestamp())} | more
        return self.key.proof(method, url, **claims)

    async def send(self, path="/dex/token", proof=None, **form):
        headers = [("DPoP", proof)] if isinstance(proof, str) else []
        if proof is None:
            headers = [("DPoP", self.proof(path))]
        elif isinstance(proof, list):
            headers = [("DPoP", each) for each in proof]
        if self.auth:
            headers.append(("Authorization", aiohttp.encode_basic_auth(*self.auth)))
        else:
            form = {"client_id": "native"} | form
        return await self.world.browser().post(path, data=form, headers=headers)

    async def exchange(self, proof=None, code=None, **asked):
        if code is None:
            native = {} if self.auth else {"client_id": "native"}
            code = await self.world.code(**native | asked)
        form = {"code": code, "redirect_uri": CALLBACK}
        return await self.send(grant_type="authorization_code", proof=proof, **form)

    async def refresh(self, token, proof=None):
        return await self.send(
            grant_type="refresh_token", refresh_token=token, proof=proof
        )

    async def userinfo(self, token, proof=None, scheme="DPoP", method="GET"):
        if proof is None:
            proof = self.proof("/dex/userinfo", method, access_token=token)
        headers = {"Authorization": f"{scheme} {token}", "DPoP": proof}
        browser = self.world.browser()
        send = browser.get if method == "GET" else browser.post
        return await send("/dex/userinfo", headers=headers)


@pytest.fixture
async def world(make_world):
    return await make_world(CONFIG % "false")


@pytest.fixture
async def strict(make_world):
    """A provider that gives out nonces."""
    return await make_world(CONFIG % "true")


@pytest.fixture
def client(world):
    return Prover(world)


@pytest.fixture
def native(world):
    return Prover(world, auth=None)


def parsed(answer):
    assert answer.status == 200, answer.text
    return json.loads(answer.text)


def error(answer):
    return answer.status, json.loads(answer.text)["error"]


NO_PROOF = (400, "invalid_dpop_proof")


# — every grant ------------------------------------------------------------------------


async def test_a_code_becomes_a_token_that_is_bound_to_the_key(world, client):
    """T-DPOP."""
    tokens = parsed(await client.exchange())
    claims = await world.claims(tokens["access_token"])
    assert tokens["token_type"] == "DPoP"
    assert claims["cnf"] == {"jkt": client.key.jkt}
    assert "cnf" not in await world.claims(tokens["id_token"])
    about = await world.introspect(tokens["access_token"])
    assert (about["token_type"], about["cnf"]) == ("DPoP", claims["cnf"])


async def test_every_grant_gives_bound_tokens(world, client):
    asked = {
        "client_credentials": {"scope": "openid"},
        "password": {"username": "jane", "password": "fox", "scope": "openid"},
        EXCHANGE: {
            "connector_id": "up",
            "subject_token": "x",
            "subject_token_type": TYPE + "id_token",
        },
    }
    for grant_type, form in asked.items():
        got = parsed(await client.send(grant_type=grant_type, **form))
        claims = await world.claims(got["access_token"])
        assert (got["token_type"], claims["cnf"]["jkt"]) == ("DPoP", client.key.jkt)


async def test_a_token_for_a_resource_is_bound_as_well(world, client):
    got = parsed(await client.send(grant_type="client_credentials", resource="urn:api"))
    claims = await world.claims(got["access_token"])
    assert (claims["aud"], claims["cnf"]["jkt"]) == ("urn:api", client.key.jkt)


async def test_an_exchanged_id_token_is_not_bound(world, client):
    got = parsed(
        await client.send(
            grant_type=EXCHANGE,
            connector_id="up",
            subject_token="x",
            subject_token_type=TYPE + "id_token",
            requested_token_type=TYPE + "id_token",
        )
    )
    assert got["token_type"] == "bearer"
    assert "cnf" not in await world.claims(got["access_token"])


async def test_a_device_proves_its_key_when_it_comes_for_tokens(world, client):
    answer = await world.post("/dex/device/code", scope="openid offline_access")
    begun = parsed(answer)
    poll = {"grant_type": DEVICE, "device_code": begun["device_code"]}
    assert error(await client.send(**poll)) == (400, "authorization_pending")
    browser = world.browser()
    page = (await browser.get("/dex/device")).forms[0]
    entered = page["fields"] | {"user_code": begun["user_code"]}
    form = await browser.follow(await browser.post(page["action"], data=entered))
    asked = await browser.follow(
        await browser.post(form.url, data={"login": "jane", "password": "fox"})
    )
    yes = asked.forms[0]
    await browser.follow(await browser.post(yes["action"], data=yes["fields"]))
    got = parsed(await client.send(path="/dex/device/token", **poll))
    assert (await world.claims(got["access_token"]))["cnf"]["jkt"] == client.key.jkt


@pytest.mark.parametrize("algorithm", SIGNING_ALGORITHMS)
async def test_discovery_lists_what_works(world, algorithm):
    path = "/dex/.well-known/openid-configuration"
    document = parsed(await world.browser().get(path))
    assert algorithm in document["dpop_signing_alg_values_supported"]
    client = Prover(world, ProofKey(algorithm))
    got = parsed(await client.send(grant_type="client_credentials"))
    assert (await world.claims(got["access_token"]))["cnf"]["jkt"] == client.key.jkt


async def test_without_the_header_nothing_has_changed(world):
    tokens = await world.tokens()
    assert tokens["token_type"] == "bearer"
    assert "cnf" not in await world.claims(tokens["access_token"])
    assert await world.storage.replays.list() == []
    assert await world.storage.supplements.list() == []


# — what is no proof -------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": "/dex/userinfo"},
        {"path": "/token"},
        {"method": "GET"},
        {"iat": -61},
        {"iat": 61},
    ],
    ids=repr,
)
async def test_a_proof_for_something_else_is_refused(world, client, wrong):
    """T-DPOP."""
    if "iat" in wrong:
        wrong = {"iat": world.clock().timestamp() + wrong["iat"]}
    code = await world.code()
    assert error(await client.exchange(client.proof(**wrong), code=code)) == NO_PROOF
    # Nothing has been spent.
    assert (await client.exchange(code=code)).status == 200


@pytest.mark.parametrize("seconds", [-60, 60])
async def test_clocks_may_differ_by_a_minute(world, client, seconds):
    """T-DPOP."""
    iat = world.clock().timestamp() + seconds
    assert (await client.exchange(client.proof(iat=iat))).status == 200


async def test_two_proofs_are_none(world, client):
    both = [client.proof(), client.proof()]
    assert error(await client.exchange(both)) == NO_PROOF
    assert error(await client.exchange("")) == NO_PROOF


async def test_a_proof_is_good_for_one_request(world, client):
    """T-DPOP."""
    proof = client.proof()
    form = {"grant_type": "client_credentials"}
    assert (await client.send(proof=proof, **form)).status == 200
    again = await client.send(proof=proof, **form)
    assert error(again) == NO_PROOF
    assert "used before" in again.text
    answers = await asyncio.gather(
        *(client.send(proof=client.proof(jti="same"), **form) for _ in range(8))
    )
    assert sorted(answer.status for answer in answers) == [200] + [400] * 7
    other = Prover(world)
    assert (await other.send(proof=other.proof(jti="same"), **form)).status == 200


async def test_what_was_used_is_forgotten_when_it_is_too_old_anyway(world, client):
    proof = client.proof(iat=world.clock().timestamp() + 60)
    form = {"grant_type": "client_credentials"}
    assert (await client.send(proof=proof, **form)).status == 200
    world.clock.advance(seconds=119)
    await world.storage.sweep(world.clock())
    assert error(await client.send(proof=proof, **form)) == NO_PROOF
    world.clock.advance(seconds=2)
    assert len(await world.storage.replays.list()) == 1
    await world.storage.sweep(world.clock())
    assert await world.storage.replays.list() == []
    assert error(await client.send(proof=proof, **form)) == NO_PROOF


async def test_a_stranger_proves_nothing_before_the_client_does(world):
    stranger = Prover(world, auth=("example-app", "wrong"))
    answer = await stranger.send(grant_type="client_credentials")
    assert error(answer) == (401, "invalid_client")
    assert await world.storage.replays.list() == []


@pytest.mark.parametrize("who", ["client", "native"])
async def test_clients_without_a_secret_do_not_fill_the_storage(request, world, who):
    prover = request.getfixturevalue(who)
    parts = world.server.parts
    endpoint = Granting.of(parts, Tokens.of(parts)).endpoint
    few = Guard(rate=0.001, burst=2)
    endpoint = attrs.evolve(
        endpoint, proofs=attrs.evolve(endpoint.proofs, strangers=few)
    )
    app = web.Application()
    app.router.add_post("/dex/token", Channels(parts.pages).back(endpoint.exchange))
    async with TestServer(app) as server:
        world.base = str(server.make_url("/")).rstrip("/")
        statuses = [
            (await prover.send(grant_type="refresh_token", refresh_token="x")).status
            for _ in range(4)
        ]
    assert statuses == ([400] * 4 if prover.auth else [400, 400, 429, 429])


# — whose the token is -----------------------------------------------------------------


async def test_userinfo_answers_whoever_has_the_key(world, client):
    tokens = parsed(await client.exchange())
    for method in ("GET", "POST"):
        claims = parsed(await client.userinfo(tokens["access_token"], method=method))
        assert claims["email"] == "kilgore@kilgore.trout"


@pytest.mark.parametrize(
    "thief",
    ["another key", "another token's", "no ath", "another path", "another method"],
)
async def test_userinfo_refuses_a_proof_of_something_else(world, client, thief):
    """T-DPOP."""
    token = parsed(await client.exchange())["access_token"]
    other = parsed(await client.exchange())["access_token"]
    path = "/dex/userinfo"
    proof = {
        "another key": lambda: Prover(world).proof(path, "GET", access_token=token),
        "another token's": lambda: client.proof(path, "GET", access_token=other),
        "no ath": lambda: client.proof(path, "GET"),
        "another path": lambda: client.proof("/dex/token", "GET", access_token=token),
        "another method": lambda: client.proof(path, "POST", access_token=token),
    }[thief]()
    answer = await client.userinfo(token, proof)
    assert error(answer) == (401, "invalid_dpop_proof")
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge.startswith('DPoP error="invalid_dpop_proof", algs="RS256 ')
    assert (await client.userinfo(token)).status == 200


async def test_userinfo_takes_a_proof_once(world, client):
    token = parsed(await client.exchange())["access_token"]
    proof = client.proof("/dex/userinfo", "GET", access_token=token)
    assert (await client.userinfo(token, proof)).status == 200
    assert error(await client.userinfo(token, proof)) == (401, "invalid_dpop_proof")


async def test_a_bound_token_is_no_bearer_token(world, client):
    """T-DPOP."""
    token = parsed(await client.exchange())["access_token"]
    for answer in (
        await world.userinfo(token),
        await client.userinfo(token, scheme="Bearer"),
        await world.post("/dex/userinfo", auth=None, access_token=token),
    ):
        assert error(answer) == (401, "invalid_token")
        assert answer.headers["WWW-Authenticate"].startswith("DPoP ")


async def test_a_bearer_token_is_no_bound_token(world, client):
    token = (await world.tokens())["access_token"]
    answer = await client.userinfo(token)
    assert error(answer) == (401, "invalid_token")
    # Who has a key may still come as a bearer.
    assert (await client.userinfo(token, scheme="bearer")).status == 200


async def test_a_bound_token_that_is_none_is_refused_as_such(world, client):
    answer = await client.userinfo("a.b.c")
    assert error(answer) == (401, "invalid_token")
    assert answer.headers["WWW-Authenticate"].startswith('DPoP error="invalid_token"')
    headers = {"Authorization": "DPoP"}
    answer = await world.browser().get("/dex/userinfo", headers=headers)
    assert answer.status == 401
    algorithms = " ".join(SIGNING_ALGORITHMS)
    assert answer.headers["WWW-Authenticate"] == f'DPoP algs="{algorithms}"'


# — refreshing -------------------------------------------------------------------------


async def test_the_refresh_token_of_a_public_client_is_bound(world, native):
    """T-DPOP."""
    tokens = parsed(await native.exchange())
    thief = Prover(world, auth=None)
    token = tokens["refresh_token"]
    assert error(await thief.refresh(token)) == (400, "invalid_grant")
    assert error(await native.refresh(token, proof="")) == NO_PROOF
    bearer = await world.refresh(token, auth=None, client_id="native")
    assert error(bearer) == NO_PROOF
    renewed = parsed(await native.refresh(token))
    claims = await world.claims(renewed["access_token"])
    assert claims["cnf"]["jkt"] == native.key.jkt
    assert error(await thief.refresh(renewed["refresh_token"])) == (
        400,
        "invalid_grant",
    )
    assert parsed(await native.refresh(renewed["refresh_token"]))


async def test_a_confidential_client_may_change_its_key(world, client):
    tokens = parsed(await client.exchange())
    later = Prover(world)
    renewed = parsed(await later.refresh(tokens["refresh_token"]))
    claims = await world.claims(renewed["access_token"])
    assert claims["cnf"]["jkt"] == later.key.jkt
    plain = parsed(await world.refresh(renewed["refresh_token"]))
    assert plain["token_type"] == "bearer"


async def test_the_refresh_token_of_a_password_is_bound_too(world, native):
    tokens = parsed(
        await native.send(
            grant_type="password",
            username="jane",
            password="fox",
            scope="openid offline_access",
        )
    )
    thief = Prover(world, auth=None)
    assert error(await thief.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
    assert parsed(await native.refresh(tokens["refresh_token"]))


async def test_a_bound_refresh_token_that_is_stolen_and_old_ends_its_family(
    world, native
):
    first = parsed(await native.exchange())["refresh_token"]
    world.clock.advance(seconds=10)
    second = parsed(await native.refresh(first))["refresh_token"]
    world.clock.advance(seconds=60)
    assert error(await native.refresh(first)) == (400, "invalid_grant")
    assert error(await native.refresh(second)) == (400, "invalid_grant")


async def test_a_code_used_twice_ends_what_a_key_was_proved_for(world, native):
    code = await world.code(client_id="native")
    first = parsed(await native.exchange(code=code))
    renewed = parsed(await native.refresh(first["refresh_token"]))
    assert error(await native.exchange(code=code)) == (400, "invalid_grant")
    for tokens in (first, renewed):
        answer = await native.userinfo(tokens["access_token"])
        assert error(answer) == (401, "invalid_token")
    assert error(await native.refresh(renewed["refresh_token"])) == (
        400,
        "invalid_grant",
    )


# — a code for one key -----------------------------------------------------------------


@pytest.mark.parametrize("who", ["client", "native"])
async def test_a_code_can_be_for_one_key_alone(request, world, who):
    holder = request.getfixturevalue(who)
    asked = {} if holder.auth else {"client_id": "native"}
    code = await world.code(dpop_jkt=holder.key.jkt, **asked)
    thief = Prover(world, auth=holder.auth)
    assert error(await thief.exchange(code=code)) == (400, "invalid_grant")
    assert error(await holder.exchange([], code=code)) == NO_PROOF
    tokens = parsed(await holder.exchange(code=code))
    claims = await world.claims(tokens["access_token"])
    assert claims["cnf"]["jkt"] == holder.key.jkt


async def pushed(prover, **changes):
    params = prover.world.auth_params(**changes)
    del params["client_id"]
    return await prover.send("/dex/par", **params)


async def test_a_pushed_request_can_prove_the_key_of_its_code(world, client):
    answer = await pushed(client)
    assert answer.status == 201, answer.text
    request_uri = json.loads(answer.text)["request_uri"]
    browser, query = world.browser(), {"client_id": BASIC[0]}
    form = await browser.follow(
        await browser.get("/dex/auth", params=query | {"request_uri": request_uri})
    )
    landed = await browser.post(form.url, data={"login": "jane", "password": "fox"})
    code = landed.params["code"]
    assert error(await Prover(world).exchange(code=code)) == (400, "invalid_grant")
    assert (await client.exchange(code=code)).status == 200


async def test_a_pushed_request_names_no_other_key_than_it_proves(world, client):
    answer = await pushed(client, dpop_jkt=ProofKey().jkt)
    assert error(answer) == (400, "invalid_request")
    assert (await pushed(client, dpop_jkt=client.key.jkt)).status == 201


async def test_a_thumbprint_that_is_none_begins_no_login(world):
    answer = await world.ask(world.browser(), dpop_jkt="short")
    assert answer.params["error"] == "invalid_request"


async def test_a_client_can_say_that_it_always_proves_its_key(world):
    bound = Prover(world, auth=("bound", "a-secret-of-the-bound-app"))
    code = await world.code(client_id="bound")
    assert error(await bound.exchange([], code=code)) == NO_PROOF
    tokens = parsed(await bound.exchange(code=code))
    assert tokens["token_type"] == "DPoP"
    answer = await bound.send(grant_type="client_credentials", proof=[])
    assert error(answer) == NO_PROOF
    assert error(await bound.refresh(tokens["refresh_token"], proof=[])) == NO_PROOF


# — by the browser ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "types", "given"),
    [
        ({"client_id": "bound"}, "token", False),
        ({"client_id": "bound"}, "code token", False),
        ({"client_id": "bound"}, "code id_token", True),
        ({"client_id": "bound"}, "id_token", True),
        ({"dpop_jkt": ProofKey().jkt}, "id_token token", False),
        ({"dpop_jkt": ProofKey().jkt}, "code id_token", True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_no_access_token_for_a_key_goes_by_the_browser(
    world, asked, types, given
):
    landed = await world.log_in(response_type=types, **asked)
    fragment = dict(parse_qsl(urlsplit(landed.location).fragment))
    assert "access_token" not in fragment
    if given:
        assert "id_token" in fragment
        assert ("code" in fragment) is ("code" in types)
    else:
        assert fragment["error"] == "invalid_request"


# — nonces -----------------------------------------------------------------------------


async def test_a_nonce_is_asked_for_and_then_good(strict):
    """T-DPOP."""
    client = Prover(strict)
    code = await strict.code()
    answer = await client.exchange(code=code)
    assert error(answer) == (400, "use_dpop_nonce")
    client.nonce = answer.headers["DPoP-Nonce"]
    # The clock of the client does not matter any more.
    answer = await client.exchange(client.proof(iat=1), code=code)
    token = parsed(answer)["access_token"]
    client.nonce = answer.headers["DPoP-Nonce"]
    answer = await client.userinfo(token)
    assert answer.status == 200
    assert "DPoP-Nonce" in answer.headers


async def test_a_nonce_grows_old_and_cannot_be_made_up(strict):
    client = Prover(strict)
    form = {"grant_type": "client_credentials"}
    client.nonce = (await client.send(**form)).headers["DPoP-Nonce"]
    strict.clock.advance(minutes=4, seconds=59)
    token = parsed(await client.send(**form))["access_token"]
    strict.clock.advance(seconds=2)
    old = await client.send(**form)
    assert error(old) == (400, "use_dpop_nonce")
    answer = await client.userinfo(token)
    assert error(answer) == (401, "use_dpop_nonce")
    assert answer.headers["WWW-Authenticate"].startswith('DPoP error="use_dpop_nonce"')
    client.nonce = answer.headers["DPoP-Nonce"]
    assert (await client.userinfo(token)).status == 200
    for made_up in ("nonce", client.nonce[:-1], client.nonce.swapcase(), "ä"):
        client.nonce = made_up
        assert error(await client.send(**form)) == (400, "use_dpop_nonce")


async def test_a_proof_with_a_nonce_is_good_once(strict):
    client = Prover(strict)
    form = {"grant_type": "client_credentials"}
    client.nonce = (await client.send(**form)).headers["DPoP-Nonce"]
    proof = client.proof()
    assert (await client.send(proof=proof, **form)).status == 200
    strict.clock.advance(minutes=4, seconds=58)
    await strict.storage.sweep(strict.clock())
    assert error(await client.send(proof=proof, **form)) == NO_PROOF


async def test_a_bearer_needs_no_nonce(strict):
    tokens = await strict.tokens()
    assert (await strict.userinfo(tokens["access_token"])).status == 200


async def test_what_one_replica_gave_out_and_took_the_other_knows(make_world, tmp_path):
    file = f"{{type: sqlite3, config: {{file: '{tmp_path / 'dex.db'}'}}}}"
    text = (CONFIG % "true").replace("{type: memory}", file)
    one, other = await make_world(text), await make_world(text)
    client, form = Prover(one), {"grant_type": "client_credentials"}
    client.nonce = (await client.send(**form)).headers["DPoP-Nonce"]
    proof = client.proof()
    client.world = other
    token = parsed(await client.send(proof=proof, **form))["access_token"]
    client.world = one
    assert error(await client.send(proof=proof, **form)) == NO_PROOF
    proof = client.proof("/dex/userinfo", "GET", access_token=token)
    assert (await client.userinfo(token, proof)).status == 200
    client.world = other
    assert error(await client.userinfo(token, proof)) == (401, "invalid_dpop_proof")


# — scripts ----------------------------------------------------------------------------


async def test_a_script_may_send_proofs_and_read_the_nonce(strict):
    browser = strict.browser()
    origin = {"Origin": "https://spa.example.com"}
    preflight = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,dpop",
    }
    answer = await browser._send("OPTIONS", "/dex/token", headers=origin | preflight)
    assert answer.status == 200
    allowed = answer.headers["Access-Control-Allow-Headers"].lower().split(",")
    assert {"authorization", "dpop"} <= set(allowed)
    headers = origin | {"DPoP": Prover(strict).proof()}
    form = {"grant_type": "refresh_token", "client_id": "native", "refresh_token": "x"}
    answer = await browser.post("/dex/token", data=form, headers=headers)
    assert error(answer) == (400, "use_dpop_nonce")
    assert answer.headers["Access-Control-Expose-Headers"] == "DPoP-Nonce"
