"""Codes and tokens that only their holder could know: whole, or of no use."""

import json

import attrs
import pytest

from dexcore.oauth2 import subjects
from dexcore.storage import Collections

from .conftest import CONFIG

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
OTHER = ("other-app", "a-secret-of-the-other-app")


def spoiled(token):
    """Return what is almost *token*, as somebody might find or try it."""
    found = {token[:-n] for n in (1, 2, 3, 8, len(token) // 2)}
    found |= {token[n:] for n in (1, 2, 8)}
    found |= {token + end for end in ("=", "==", "A", ".", " ", "\t", "%00")}
    found |= {" " + token, token.swapcase(), token.upper(), token * 2}
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    if token[-1] in alphabet:
        # Bits that no byte needs: another spelling of the same.
        at = alphabet.index(token[-1])
        found |= {token[:-1] + alphabet[at ^ bit] for bit in (1, 2, 3)}
    return sorted(found - {token})


def error(answer):
    return json.loads(answer.text).get("error")


async def test_a_code_is_of_use_as_it_was_given_out_only(world):
    """T-TOK-04: 160 bits; and who tries has not used it up."""
    code = await world.code()
    assert len(code) == 33
    for other in spoiled(code):
        assert error(await world.exchange(other)) in (
            "invalid_grant",
            "invalid_request",
        )
    assert (await world.exchange(code)).status == 200


async def test_a_refresh_token_is_of_use_as_it_was_given_out_only(world):
    """T-TOK-04: its secret too has one spelling."""
    token = (await world.tokens())["refresh_token"]
    refresh_id, secret = subjects.decode_refresh(token)
    assert len(secret) >= 32
    others = [*spoiled(token)]
    others += [subjects.encode_refresh(refresh_id, each) for each in spoiled(secret)]
    others += [subjects.encode_refresh(each, secret) for each in spoiled(refresh_id)]
    for other in others:
        answer = await world.refresh(other)
        assert error(answer) in ("invalid_grant", "invalid_request"), other
        assert await world.introspect(other) == {"active": False}, other
    assert (await world.refresh(token)).status == 200


async def test_an_access_token_is_of_use_as_it_was_given_out_only(world):
    """T-TOK-04: at userinfo, and where others ask about it."""
    token = (await world.tokens())["access_token"]
    for other in spoiled(token):
        answer = await world.post("/dex/userinfo", auth=None, access_token=other)
        assert answer.status == 401, other
        assert await world.introspect(other) == {"active": False}, other
    assert (await world.userinfo(token)).status == 200


async def test_a_device_code_is_of_use_as_it_was_given_out_only(world):
    """T-TOK-04."""
    client = {"auth": None, "client_id": "native"}
    begun = json.loads((await world.post("/dex/device/code", **client)).text)
    for other in spoiled(begun["device_code"]):
        answer = await world.post(
            "/dex/token", grant_type=DEVICE, device_code=other, **client
        )
        assert error(answer) == "invalid_request", other
    code = {"device_code": begun["device_code"]}
    answer = await world.post("/dex/token", grant_type=DEVICE, **code, **client)
    assert error(answer) == "authorization_pending"


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
async def test_whose_token_it_was_and_why_it_is_dead_cannot_be_told(world, kind):
    """T-INT-03, T-INT-04: unknown, somebody else's, revoked, expired: one answer."""

    async def ask(token, **kwargs):
        answer = await world.post("/dex/token/introspect", token=token, **kwargs)
        length = answer.headers["Content-Length"]
        return answer.status, answer.text, length, sorted(answer.headers)

    token = (await world.tokens())[kind]
    unknown = await ask("nobody-has-ever-seen-this")
    assert unknown[:2] == (200, '{"active":false}')
    assert await ask("a.b.c") == unknown
    assert await ask(token, auth=OTHER) == unknown
    await world.post("/dex/token/revoke", token=token)
    assert await ask(token) == unknown
    other = (await world.tokens())[kind]
    assert (await ask(other))[1] != unknown[1]
    if kind == "access_token":
        world.clock.advance(days=2)
        assert await ask(other) == unknown


@pytest.mark.parametrize("interval", ["0s", "1h"])
async def test_the_id_of_a_refresh_token_is_no_refresh_token(make_world, interval):
    """T-REF-09: dex has once issued such, and whoever may list tokens sees it."""
    expiry = f"expiry: {{refreshTokens: {{reuseInterval: {interval}}}}}\n"
    world = await make_world(CONFIG + expiry)
    token = (await world.tokens())["refresh_token"]
    for _ in range(2):  # before the first rotation, and after it
        refresh_id, _ = subjects.decode_refresh(token)
        for forged in (refresh_id, subjects.encode_refresh(refresh_id, "")):
            assert error(await world.refresh(forged)) == "invalid_grant"
            assert await world.introspect(forged) == {"active": False}
            await world.post("/dex/token/revoke", token=forged)
        answer = await world.refresh(token)
        assert answer.status == 200, answer.text
        token = json.loads(answer.text)["refresh_token"]
        world.clock.advance(hours=2)


async def dump(world):
    """Return all that whoever reads the database can read, beside the file."""
    names = Collections.__annotations__.keys() - {"clients", "connectors"}
    records = [await getattr(world.storage, name).list() for name in sorted(names)]
    return repr([[attrs.asdict(each) for each in kind] for kind in records])


async def test_what_whoever_reads_the_database_learns(make_world):
    """T-TOK-05: what dex would have to find there, and nothing that logs in."""
    phrase = "a-phrase-that-only-jane-knows"
    world = await make_world(CONFIG.replace("fox", phrase))
    code = await world.code(password=phrase)
    tokens = await world.tokens(password=phrase)
    begun = await world.post("/dex/device/code", auth=None, client_id="native")
    device = json.loads(begun.text)
    text = await dump(world)
    # As in dex: codes and refresh tokens, which want the client's secret too.
    secret = subjects.decode_refresh(tokens["refresh_token"])[1]
    for known in (code, secret, device["device_code"], device["user_code"]):
        assert known in text
    # Tokens are not kept, nor is anything that proves who somebody is.
    never = [tokens["access_token"], tokens["id_token"], "a-secret-of-the", phrase]
    for name in never:
        assert name not in text
