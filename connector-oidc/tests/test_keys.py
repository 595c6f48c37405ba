"""The provider changes its keys, and may be down when it is asked for them."""

import asyncio

import pytest

from dexcore.errors import UpstreamError, UpstreamUnavailable
from dexcore.testing.upstreams.openid import OpenIDProvider


async def test_keys_are_fetched_once_for_many_logins(way, provider):
    for _ in range(5):
        await way.log_in()
    assert len(provider.asked("/jwks")) == 1


async def test_twenty_who_come_at_once_fetch_them_once(way, provider):
    for identity in await asyncio.gather(*(way.log_in() for _ in range(20))):
        assert identity.user_id == "id-of-jane"
    assert len(provider.asked("/jwks")) == 1


@pytest.mark.parametrize("forget", [True, False])
async def test_a_new_key_is_fetched_when_it_is_first_seen(way, provider, forget):
    await way.log_in()
    provider.rotate_keys(forget=forget)
    await way.log_in()
    await way.log_in()
    assert len(provider.asked("/jwks")) == 2


async def test_a_new_key_of_an_old_name_is_fetched_too(way, provider):
    provider.header_changes["kid"] = None
    await way.log_in()
    provider.rotate_keys()
    assert (await way.log_in()).user_id == "id-of-jane"


async def test_made_up_keys_make_us_ask_only_now_and_then(way, provider):
    provider.header_changes["kid"] = "made-up"
    for _ in range(20):
        with pytest.raises(UpstreamError, match="No key"):
            await way.log_in()
    assert len(provider.asked("/jwks")) == 6


async def test_known_keys_are_good_while_the_provider_cannot_say_them_again(
    way, provider
):
    await way.log_in()
    with provider.status(500, path="/jwks"):
        provider.header_changes["kid"] = "made-up"
        with pytest.raises(UpstreamError, match="No key"):
            await way.log_in()
        provider.header_changes.clear()
        assert (await way.log_in()).user_id == "id-of-jane"


@pytest.mark.parametrize("algorithm", ["RS256", "ES384", "EdDSA", "PS256"])
async def test_other_kinds_of_keys(algorithm, way_of):
    with OpenIDProvider(algorithm=algorithm) as provider:
        provider.add_user()
        provider.add_client()
        way = await way_of(issuer=provider.issuer)
        assert (await way.log_in()).user_id == "id-of-jane"


@pytest.mark.parametrize(
    "document",
    [{}, {"keys": []}, {"keys": "x"}, {"keys": [1]}, {"keys": [{"kty": "EC"}]}, []],
    ids=str,
)
async def test_what_holds_no_keys_verifies_nothing(way_of, provider, document):
    provider.metadata_changes["jwks_uri"] = f"{provider.url}/other"
    provider.answers["/other"] = document
    way = await way_of()
    with pytest.raises(UpstreamError, match=r"JWK set|No key|not an object"):
        await way.log_in()


@pytest.mark.parametrize(
    "trouble",
    ["status", "html", "broken_json", "empty", "slow", "drip", "huge", "bomb",
     "redirect_loop", "hang_up"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/jwks", "/token", "/userinfo"])
async def test_trouble_at_any_endpoint_is_the_providers(
    way_of, provider, trouble, path
):
    way = await way_of(getUserInfo=True, seconds=0.5)
    brought = await way.go(await way.begin())
    with getattr(provider, trouble)(path=path), pytest.raises(UpstreamError) as failed:
        await way.finish(brought)
    assert path in str(failed.value)
    if trouble in ("slow", "drip", "hang_up", "status"):
        assert isinstance(failed.value, UpstreamUnavailable)
    assert (await way.log_in()).user_id == "id-of-jane"
