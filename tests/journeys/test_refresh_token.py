"""A client keeps its user logged in; a thief does not."""

import asyncio
import json

import attrs
import pytest

from dexcore import hookimpl
from dexcore.connector import (
    ConnectorType,
    Identity,
    PasswordConnector,
    RefreshConnector,
)
from dexcore.errors import AccessDenied, UpstreamUnavailable
from dexcore.oauth2 import subjects
from dexcore.options import option
from dexcore.storage import Client

BASE = """
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556}
signer: {type: local, config: {algorithm: ES256, keysRotationPeriod: 6h}}
oauth2: {skipApprovalScreen: true}
expiry: {refreshTokens: {%s}}
connectors:
- {type: %s, id: pw, name: Passwords, config: {username: jane, password: fox}}
staticClients:
- id: example-app
  redirectURIs: ['http://127.0.0.1:5555/callback']
  name: Example App
  secret: a-secret-of-the-example-app
- id: other-app
  redirectURIs: ['http://127.0.0.1:5555/other']
  name: Other App
  secret: a-secret-of-the-other-app
"""


def config(policy="", connector="mockPassword"):
    return BASE % (policy, connector)


def error(answer):
    return json.loads(answer.text)["error"]


def parsed(answer):
    assert answer.status == 200, answer.text
    return json.loads(answer.text)


async def test_a_refresh_token_is_rotated_and_keeps_its_id(world):
    first = await world.tokens()
    second = parsed(await world.refresh(first["refresh_token"]))
    assert second["refresh_token"] != first["refresh_token"]
    one, other = (
        subjects.decode_refresh(tokens["refresh_token"]) for tokens in (first, second)
    )
    assert one[0] == other[0]
    assert len(other[1]) >= 32
    claims = await world.claims(second["id_token"])
    assert claims["nonce"] == "n-0S6"
    assert "c_hash" not in claims


async def test_a_new_id_token_is_about_the_same_login(world):
    """T-REF-03: OpenID Connect Core section 12.2."""
    first = await world.tokens()
    world.clock.advance(minutes=5)
    second = parsed(await world.refresh(first["refresh_token"]))
    old, new = [await world.claims(each["id_token"]) for each in (first, second)]
    for name in ("iss", "sub", "aud", "nonce", "email", "groups"):
        assert new.get(name) == old.get(name), name
    # Without sessions it is not known any more when the login was: then it says so.
    assert new.get("auth_time", old["auth_time"]) == old["auth_time"]
    assert "azp" not in new
    assert new["iat"] - old["iat"] == 300
    assert new["exp"] - new["iat"] == old["exp"] - old["iat"]
    assert new["jti"] != old["jti"]


async def test_a_client_that_is_gone_gets_no_tokens(world):
    """T-REF-08: with all it had, whoever else is still there."""
    await world.storage.clients.create(
        Client("app", "a-secret", ("http://127.0.0.1:5555/callback",), name="App")
    )
    mine = {"auth": ("app", "a-secret")}
    code = await world.code(client_id="app")
    tokens = parsed(await world.exchange(code, **mine))
    await world.storage.clients.delete("app")
    assert error(await world.refresh(tokens["refresh_token"], **mine)) == (
        "invalid_client"
    )
    other = await world.refresh(tokens["refresh_token"])
    assert error(other) == "invalid_grant"


async def test_scopes_may_be_narrowed_but_not_widened(world):
    """T-REF-02."""
    token = (await world.tokens(scope="openid email offline_access"))["refresh_token"]
    wider = await world.refresh(token, scope="openid groups")
    assert error(wider) == "invalid_scope"
    narrow = parsed(await world.refresh(token, scope="openid"))
    assert "email" not in await world.claims(narrow["id_token"])
    full = parsed(await world.refresh(narrow["refresh_token"]))
    assert "email" in await world.claims(full["id_token"])


async def test_a_predecessor_that_lost_a_race_is_refused_and_nothing_else(world):
    """T-REF-06, T-REF-12."""
    first = await world.tokens()
    second = parsed(await world.refresh(first["refresh_token"]))
    world.clock.advance(seconds=9)
    assert error(await world.refresh(first["refresh_token"])) == "invalid_grant"
    assert (await world.refresh(second["refresh_token"])).status == 200


async def test_a_predecessor_that_comes_later_revokes_the_family(world):
    """T-REF-04, T-REF-12."""
    first = await world.tokens()
    second = parsed(await world.refresh(first["refresh_token"]))
    world.clock.advance(seconds=11)
    assert error(await world.refresh(first["refresh_token"])) == "invalid_grant"
    assert error(await world.refresh(second["refresh_token"])) == "invalid_grant"
    assert (await world.userinfo(second["access_token"])).status == 401
    assert (await world.userinfo(first["access_token"])).status == 401


async def test_an_older_token_of_the_family_revokes_it_at_any_time(world):
    """T-REF-04, T-REF-05."""
    first = await world.tokens()
    second = parsed(await world.refresh(first["refresh_token"]))
    third = parsed(await world.refresh(second["refresh_token"]))
    assert error(await world.refresh(first["refresh_token"])) == "invalid_grant"
    assert error(await world.refresh(third["refresh_token"])) == "invalid_grant"
    assert await world.storage.refresh_tokens.list() == []


async def test_a_secret_that_was_never_issued_revokes_nothing(world):
    """T-REF-09."""
    first = await world.tokens()
    refresh_id, secret = subjects.decode_refresh(first["refresh_token"])
    made_up = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    for guess in (made_up, "", "x" * 56, secret.upper()):
        forged = subjects.encode_refresh(refresh_id, guess)
        assert error(await world.refresh(forged)) == "invalid_grant"
    assert error(await world.refresh(refresh_id)) == "invalid_grant"
    assert (await world.refresh(first["refresh_token"])).status == 200


async def test_another_client_cannot_use_a_refresh_token(world):
    """T-REF-01."""
    first = await world.tokens()
    thief = await world.refresh(
        first["refresh_token"], auth=("other-app", "a-secret-of-the-other-app")
    )
    assert error(thief) == "invalid_grant"
    assert (await world.refresh(first["refresh_token"])).status == 200


async def test_within_the_reuse_interval_all_get_the_same_successor(make_world):
    """T-REF-05, T-REF-06."""
    world = await make_world(config("reuseInterval: 3s"))
    first = await world.tokens()
    world.clock.advance(seconds=60)
    answers = await asyncio.gather(
        *(world.refresh(first["refresh_token"]) for _ in range(50))
    )
    successors = {parsed(answer)["refresh_token"] for answer in answers}
    assert len(successors) == 1
    assert successors != {first["refresh_token"]}
    world.clock.advance(seconds=4)
    assert error(await world.refresh(first["refresh_token"])) == "invalid_grant"
    assert error(await world.refresh(successors.pop())) == "invalid_grant"


async def test_without_a_reuse_interval_one_of_many_wins(world):
    first = await world.tokens()
    answers = await asyncio.gather(
        *(world.refresh(first["refresh_token"]) for _ in range(50))
    )
    statuses = sorted(answer.status for answer in answers)
    assert statuses == [200] + [400] * 49
    winner = next(answer for answer in answers if answer.status == 200)
    assert (await world.refresh(parsed(winner)["refresh_token"])).status == 200


async def test_without_rotation_the_token_stays(make_world):
    world = await make_world(config("disableRotation: true"))
    first = await world.tokens()
    for _ in range(3):
        again = parsed(await world.refresh(first["refresh_token"]))
        assert again["refresh_token"] == first["refresh_token"]


@pytest.mark.parametrize(
    ("policy", "steps", "status"),
    [
        ("absoluteLifetime: 1h", [3599], 200),
        ("absoluteLifetime: 1h", [1800, 1801], 400),
        ("validIfNotUsedFor: 1h", [3599, 3599, 3599], 200),
        ("validIfNotUsedFor: 1h", [3599, 3601], 400),
    ],
)
async def test_refresh_tokens_expire(make_world, policy, steps, status):
    """T-REF-10."""
    world = await make_world(config(policy))
    token = (await world.tokens())["refresh_token"]
    for seconds in steps:
        world.clock.advance(seconds=seconds)
        answer = await world.refresh(token)
        if answer.status == 200:
            token = parsed(answer)["refresh_token"]
    assert answer.status == status


async def test_a_second_login_takes_the_place_of_the_first(world):
    first = await world.tokens()
    second = await world.tokens()
    assert error(await world.refresh(first["refresh_token"])) == "invalid_grant"
    assert (await world.refresh(second["refresh_token"])).status == 200
    assert len(await world.storage.refresh_tokens.list()) == 1


@attrs.frozen
class UpstreamConfig:
    username: str = option("")
    password: str = option("", secret=True)


class Upstream(PasswordConnector, RefreshConnector):
    """An upstream that counts who asks, and may fail, refuse or change its mind."""

    def __init__(self):
        self.asked = []
        self.mood = None
        self.rotated = b""
        self.email = "jane@example.com"
        self.context = None

    async def login(self, scopes, username, password):
        return Identity("1", username, email=self.email, connector_data=b"0")

    async def refresh(self, scopes, identity):
        self.asked.append(identity.connector_data)
        await asyncio.sleep(0.01)
        if self.rotated:
            await self.context.keep(identity, self.rotated)
        if self.mood:
            raise self.mood
        count = int(identity.connector_data) + 1
        return attrs.evolve(
            identity, email=self.email, connector_data=str(count).encode()
        )


@pytest.fixture
def upstream():
    return Upstream()


@pytest.fixture
async def upstream_world(make_world, upstream):
    class Plugin:
        @hookimpl
        def dex_connector_types(self):
            async def open_it(config, context):
                upstream.context = context
                return upstream

            return [ConnectorType("changing", UpstreamConfig, open_it)]

    return await make_world(config("", "changing"), Plugin())


async def test_upstream_is_asked_with_the_newest_data(upstream_world, upstream):
    """T-REF-07."""
    token = (await upstream_world.tokens())["refresh_token"]
    for _ in range(3):
        token = parsed(await upstream_world.refresh(token))["refresh_token"]
    assert upstream.asked == [b"0", b"1", b"2"]


async def test_what_changed_upstream_is_in_the_next_token(upstream_world, upstream):
    """T-REF-08."""
    token = (await upstream_world.tokens())["refresh_token"]
    upstream.email = "jane@married.example"
    tokens = parsed(await upstream_world.refresh(token))
    claims = await upstream_world.claims(tokens["id_token"])
    assert claims["email"] == "jane@married.example"


async def test_a_user_who_is_gone_upstream_gets_no_tokens(upstream_world, upstream):
    """T-REF-08."""
    token = (await upstream_world.tokens())["refresh_token"]
    upstream.mood = AccessDenied("The account is disabled.")
    answer = await upstream_world.refresh(token)
    assert (answer.status, error(answer)) == (400, "invalid_grant")


@pytest.mark.parametrize("trouble", [UpstreamUnavailable("down"), ValueError("bug")])
async def test_an_upstream_that_fails_costs_no_refresh_token(
    upstream_world, upstream, trouble
):
    token = (await upstream_world.tokens())["refresh_token"]
    upstream.mood = trouble
    answer = await upstream_world.refresh(token)
    assert answer.status in (502, 503)
    assert "error" in json.loads(answer.text)
    upstream.mood = None
    assert (await upstream_world.refresh(token)).status == 200


@pytest.mark.parametrize("trouble", [UpstreamUnavailable, AccessDenied])
async def test_what_upstream_has_rotated_is_kept_though_the_refresh_failed(
    upstream_world, upstream, trouble
):
    token = (await upstream_world.tokens())["refresh_token"]
    upstream.mood, upstream.rotated = trouble("Rotated, and then this."), b"7"
    assert (await upstream_world.refresh(token)).status in (400, 503)
    upstream.mood, upstream.rotated = None, b""
    assert (await upstream_world.refresh(token)).status == 200
    assert upstream.asked == [b"0", b"7"]


async def test_many_at_once_ask_upstream_once(upstream_world, upstream):
    token = (await upstream_world.tokens())["refresh_token"]
    await asyncio.gather(*(upstream_world.refresh(token) for _ in range(20)))
    assert upstream.asked == [b"0"]


async def test_a_client_that_lost_its_connector_gets_no_tokens(make_world):
    """T-REF-08."""
    world = await make_world()
    token = (await world.tokens())["refresh_token"]
    refresh_id, _ = subjects.decode_refresh(token)
    await world.storage.refresh_tokens.update(
        refresh_id, change=lambda old: attrs.evolve(old, connector_id="gone")
    )
    assert error(await world.refresh(token)) == "invalid_grant"
