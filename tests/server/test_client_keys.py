"""What a client has signed, and what it has not."""

import asyncio

import attrs
import pytest

from aiohttp import web

from dexcore.errors import TemporarilyUnavailable
from dexcore.jose import InvalidJWS
from dexcore.oauth2.client_metadata import (
    ClientMetadata,
    check_jwks,
    may_be_fetched,
)
from dexcore.server.client_keys import PAUSE, ClientKeys
from dexcore.storage import Client, DescribedClient
from dexcore.testing.client_key import ClientKey
from dexcore.testing.upstreams import Upstream

KEY, OTHER = ClientKey("ES256"), ClientKey("ES256")
CLAIMS = {"sub": "app"}


class Clock:
    moment = 1000.0

    def __call__(self):
        return self.moment


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def keys(clock):
    found = ClientKeys(frozenset(["app"]), clock=clock)
    yield found
    await found.close()


@pytest.fixture
def published():
    with Upstream({"/jwks": KEY.jwks}) as upstream:
        yield upstream


def written(*keys):
    """A client of the file with these keys in its metadata."""
    listed = [each for key in keys for each in key.jwks["keys"]]
    return DescribedClient("app", metadata=ClientMetadata(jwks={"keys": listed}))


def at(upstream, client_id="app"):
    metadata = ClientMetadata(jwks_uri=f"{upstream.url}/jwks")
    return DescribedClient(client_id, metadata=metadata)


# — the signature ----------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "PS256", "ES384", "EdDSA"])
async def test_what_the_client_signed_is_read(keys, algorithm):
    key = ClientKey(algorithm)
    assert await keys.verify(written(key), key.sign(CLAIMS)) == CLAIMS


async def test_a_token_without_kid_is_tried_with_every_key(keys):
    client = written(OTHER, KEY)
    assert await keys.verify(client, KEY.sign(CLAIMS, kid=None)) == CLAIMS


async def test_another_key_is_not_the_clients(keys):
    with pytest.raises(InvalidJWS):
        await keys.verify(written(KEY), OTHER.sign(CLAIMS, kid=KEY.jwk["kid"]))


async def test_a_client_without_keys_signs_nothing(keys):
    for client in (Client("app", "secret"), DescribedClient("app")):
        with pytest.raises(InvalidJWS, match="no keys"):
            await keys.verify(client, KEY.sign(CLAIMS))


@pytest.mark.parametrize("name", ["none", "None", "NONE", "HS256", "HS512", ""])
async def test_no_signature_and_a_shared_secret_count_for_nothing(keys, name):
    with pytest.raises(InvalidJWS):
        await keys.verify(written(KEY), KEY.sign(CLAIMS, alg=name))


async def test_the_algorithm_a_client_has_named_is_the_only_one(keys):
    key = ClientKey("RS256")
    jwks = {"keys": [{k: v for k, v in key.jwks["keys"][0].items() if k != "alg"}]}
    client = DescribedClient("app", metadata=ClientMetadata(jwks=jwks))
    other = attrs.evolve(key, algorithm="RS512")
    assert await keys.verify(client, other.sign(CLAIMS)) == CLAIMS
    assert await keys.verify(client, key.sign(CLAIMS), algorithm="RS256") == CLAIMS
    with pytest.raises(InvalidJWS):
        await keys.verify(client, other.sign(CLAIMS), algorithm="RS256")


@pytest.mark.parametrize(
    "header",
    [
        {"jwk": OTHER.jwks["keys"][0], "kid": None},
        {"jku": "http://127.0.0.1:1/jwks", "kid": "x"},
        {"x5u": "http://127.0.0.1:1/chain", "kid": "x"},
    ],
    ids=["jwk", "jku", "x5u"],
)
async def test_a_key_the_token_brings_along_is_passed_over(keys, header):
    client = written(KEY)
    with pytest.raises(InvalidJWS):
        await keys.verify(client, OTHER.sign(CLAIMS, **header))
    harmless = {**header, "kid": KEY.jwk["kid"]}
    assert await keys.verify(client, KEY.sign(CLAIMS, **harmless)) == CLAIMS


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"b64": False},
        {"zip": "DEF"},
        {"kid": 7},
        {"kid": "../../etc/passwd"},
        {"kid": "k" * 1000},
        {"typ": 1},
        {"alg": None},
    ],
    ids=str,
)
async def test_a_strange_header_is_refused(keys, header):
    with pytest.raises(InvalidJWS):
        await keys.verify(written(KEY), KEY.sign(CLAIMS, **header))


@pytest.mark.parametrize(
    "token",
    ["", ".", "a.b", "a.b.c.d", "." * 60_000, "x" * 70_000, "é.é.é"],
    ids=["empty", "dot", "two", "four", "dots", "long", "letters"],
)
async def test_what_is_no_jws_is_refused(keys, token):
    with pytest.raises(InvalidJWS):
        await keys.verify(written(KEY), token)


@pytest.mark.parametrize(
    "payload",
    [b'{"exp":1,"exp":2}', b'{"exp":"1"}', b'{"exp":-1}', b'{"exp":1e400}', b"[]"],
    ids=["twice", "text", "negative", "huge", "list"],
)
async def test_strange_claims_are_refused(keys, payload):
    with pytest.raises(InvalidJWS):
        await keys.verify(written(KEY), KEY.sign(payload))


async def test_a_token_of_another_type_is_refused(keys):
    client, types = written(KEY), ("oauth-authz-req+jwt",)
    for typ in (None, "JWT", "jwt", "oauth-authz-req+jwt"):
        token = KEY.sign(CLAIMS, typ=typ)
        assert await keys.verify(client, token, types=types) == CLAIMS
    prefixed = KEY.sign(CLAIMS, typ="application/oauth-authz-req+jwt")
    assert await keys.verify(client, prefixed, types=types) == CLAIMS
    for typ in ("at+jwt", "logout+jwt", "", "jwt "):
        with pytest.raises(InvalidJWS, match="another type"):
            await keys.verify(client, KEY.sign(CLAIMS, typ=typ), types=types)
    with pytest.raises(InvalidJWS, match="another type"):
        await keys.verify(client, prefixed)


async def test_keys_in_metadata_are_read_anew_when_they_change(keys):
    assert await keys.verify(written(KEY), KEY.sign(CLAIMS)) == CLAIMS
    with pytest.raises(InvalidJWS):
        await keys.verify(written(OTHER), KEY.sign(CLAIMS))
    assert await keys.verify(written(OTHER), OTHER.sign(CLAIMS)) == CLAIMS


# — published keys ---------------------------------------------------------------------


async def test_published_keys_are_fetched_once(keys, published):
    for _ in range(3):
        assert await keys.verify(at(published), KEY.sign(CLAIMS)) == CLAIMS
    assert len(published.asked("/jwks")) == 1


async def test_many_that_wait_cost_one_call(keys, published):
    with published.slow(0.2):
        found = await asyncio.gather(
            *(keys.verify(at(published), KEY.sign(CLAIMS)) for _ in range(20))
        )
    assert found == [CLAIMS] * 20
    assert len(published.asked("/jwks")) == 1


async def test_who_hangs_up_takes_nobody_along(keys, published):
    with published.slow(0.3):
        first = asyncio.create_task(keys.verify(at(published), KEY.sign(CLAIMS)))
        second = asyncio.create_task(keys.verify(at(published), KEY.sign(CLAIMS)))
        await asyncio.sleep(0.05)
        first.cancel()
        assert await second == CLAIMS


async def test_a_new_key_is_found_but_nobody_is_asked_all_the_time(
    keys, published, clock
):
    client = at(published)
    await keys.verify(client, KEY.sign(CLAIMS))
    published.answers["/jwks"] = OTHER.jwks
    for _ in range(3):
        with pytest.raises(InvalidJWS):
            await keys.verify(client, OTHER.sign(CLAIMS))
    assert len(published.asked("/jwks")) == 1
    clock.moment += PAUSE
    assert await keys.verify(client, OTHER.sign(CLAIMS)) == CLAIMS
    for _ in range(3):
        with pytest.raises(InvalidJWS):
            await keys.verify(client, KEY.sign(CLAIMS))
    assert len(published.asked("/jwks")) == 2


async def test_keys_are_good_while_their_server_is_down(keys, published, clock):
    client = at(published)
    await keys.verify(client, KEY.sign(CLAIMS))
    clock.moment += 24 * 3600
    with published.status(500):
        assert await keys.verify(client, KEY.sign(CLAIMS)) == CLAIMS


async def test_a_client_whose_keys_were_never_seen_is_asked_to_come_back(
    keys, published, clock
):
    with published.status(500):
        for _ in range(3):
            with pytest.raises(TemporarilyUnavailable):
                await keys.verify(at(published), KEY.sign(CLAIMS))
    assert len(published.asked("/jwks")) == 1
    clock.moment += PAUSE
    assert await keys.verify(at(published), KEY.sign(CLAIMS)) == CLAIMS


@pytest.mark.parametrize(
    "document",
    [
        {"keys": KEY.jwks["keys"] * 21},
        {"keys": []},
        {"keys": KEY.jwks["keys"], "more": "x" * 140_000},
        ["keys"],
        {"keys": [7]},
    ],
    ids=["many", "none", "large", "list", "number"],
)
async def test_what_is_no_key_set_is_none(keys, published, document):
    published.answers["/jwks"] = document
    with pytest.raises((InvalidJWS, TemporarilyUnavailable)):
        await keys.verify(at(published), KEY.sign(CLAIMS))


async def test_a_redirect_is_not_followed(keys, published):
    def away(seen):
        return web.Response(status=302, headers={"Location": f"{published.url}/jwks"})

    published.answers["/away"] = away
    metadata = ClientMetadata(jwks_uri=f"{published.url}/away")
    client = DescribedClient("app", metadata=metadata)
    with pytest.raises(TemporarilyUnavailable):
        await keys.verify(client, KEY.sign(CLAIMS))
    assert published.asked("/jwks") == []


async def test_a_stranger_does_not_open_our_network(keys, published):
    await keys.verify(at(published), KEY.sign(CLAIMS))
    with pytest.raises(TemporarilyUnavailable):
        await keys.verify(at(published, "stranger"), KEY.sign(CLAIMS))
    assert len(published.asked("/jwks")) == 1


async def test_a_stranger_with_https_does_not_either(keys):
    with Upstream({"/jwks": KEY.jwks}, host="127.0.0.1", tls=True) as upstream:
        with pytest.raises(TemporarilyUnavailable):
            await keys.verify(at(upstream, "stranger"), KEY.sign(CLAIMS))
        assert upstream.requests == []


async def test_an_operator_may_allow_private_addresses(published):
    keys = ClientKeys(private=True)
    try:
        assert await keys.verify(at(published, "x"), KEY.sign(CLAIMS)) == CLAIMS
    finally:
        await keys.close()


@pytest.mark.parametrize(
    "uri",
    [
        "http://app.example/jwks",
        "ftp://app.example/jwks",
        "https://",
        "https:///jwks",
        "https://user@app.example/jwks",
        "https://app.example/jwks#x",
        "https://app.example\\@evil.example/",
        "https://[app.example/jwks",
        "https://app.example/a b",
        "file:///etc/passwd",
        "",
    ],
)
def test_an_address_that_must_not_be_fetched(uri):
    assert not may_be_fetched(uri, insecure=True)


def test_an_address_that_may_be_fetched():
    assert may_be_fetched("https://app.example/jwks")
    assert may_be_fetched("http://127.0.0.1:1/jwks", insecure=True)
    assert not may_be_fetched("http://127.0.0.1:1/jwks")


@pytest.mark.parametrize(
    ("jwks", "why"),
    [
        ({}, 'a list of "keys"'),
        ({"keys": "k"}, 'a list of "keys"'),
        ({"keys": []}, "1 to 20 keys, not 0"),
        ({"keys": [{}]}, '"kty"'),
        ({"keys": [KEY.jwk]}, "compromised"),
        ({"keys": [{"kty": "oct", "k": "x"}]}, "compromised"),
        ({"keys": [{**KEY.jwks["keys"][0], "use": "enc"}]}, "none of the keys"),
    ],
)
def test_only_public_keys_that_verify_are_a_clients_keys(jwks, why):
    check_jwks(KEY.jwks)
    with pytest.raises(ValueError, match=why):
        check_jwks(jwks)
