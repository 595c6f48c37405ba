"""The end user is looked up again, by the refresh token of the provider."""

import asyncio
import base64

import attrs
import orjson
import pytest

from dexcore.connector import Identity, Scopes
from dexcore.errors import (
    AccessDenied,
    NotInRequiredGroups,
    UpstreamError,
    UpstreamUnavailable,
)

EVERYTHING = Scopes(offline_access=True, groups=True)


def kept(refresh_token):
    encoded = base64.b64encode(refresh_token.encode()).decode()
    return orjson.dumps({"RefreshToken": encoded})


def token_of(identity):
    return base64.b64decode(orjson.loads(identity.connector_data)["RefreshToken"])


@pytest.fixture(params=[False, True], ids=["stays", "rotates"])
def any_provider(provider, request):
    """A provider whose refresh tokens stay the same, and one whose do not."""
    provider.rotates = request.param
    return provider


@pytest.fixture
def rotating(provider):
    provider.rotates = True
    return provider


async def refresh(way, identity):
    return await way.connector.refresh(EVERYTHING, identity)


async def kept_of(way, identity):
    """Return what the next replica is given."""
    data = await way.connector.context.kept(identity)
    return attrs.evolve(identity, connector_data=data)


async def test_what_changed_upstream_is_seen(any_provider, way):
    identity = await way.log_in()
    any_provider.add_user("jane", name="Jane Doe", groups=["authors"])
    fresh = await refresh(way, identity)
    assert (fresh.user_id, fresh.username) == ("id-of-jane", "Jane Doe")
    assert fresh.groups == ("authors",)


async def test_it_goes_on_and_on(any_provider, way):
    identity = await way.log_in()
    tokens = [token_of(identity)]
    for _ in range(4):
        identity = await refresh(way, identity)
        tokens.append(token_of(identity))
    assert len(set(tokens)) == (5 if any_provider.rotates else 1)


async def test_a_token_that_dex_has_stored_is_good(way, provider):
    token = provider.tokens()["refresh_token"]
    known = Identity("id-of-jane", connector_data=kept(token))
    assert (await refresh(way, known)).email == "jane@example.com"


async def test_another_replica_goes_on(any_provider, way_of):
    one, other = await way_of(), await way_of()
    identity = await one.log_in()
    identity = await refresh(other, identity)
    identity = await refresh(one, identity)
    assert identity.user_id == "id-of-jane"


async def test_no_scope_is_asked_for_again(way, provider):
    # RFC 6749 section 6: then it is all that was granted.
    await refresh(way, await way.log_in())
    assert provider.asked("/token")[-1].form.keys() == {"grant_type", "refresh_token"}


async def test_no_nonce_is_missed(way, provider):
    # OpenID Connect Core section 12.2.
    identity = await way.log_in()
    assert (await refresh(way, identity)).user_id == "id-of-jane"


async def test_userinfo_stands_in_for_an_id_token(way_of, any_provider):
    any_provider.id_token_at_refresh = False
    way = await way_of(getUserInfo=True, insecureEnableGroups=True)
    fresh = await refresh(way, await way.log_in())
    assert fresh.groups == ("admins", "authors")


async def test_without_both_the_operator_is_told_what_to_do(way, any_provider):
    any_provider.id_token_at_refresh = False
    identity = await way.log_in()
    with pytest.raises(UpstreamError, match="getUserInfo: true"):
        await refresh(way, identity)


# — who may not any more ---------------------------------------------------------------


async def test_whose_login_was_ended_upstream_is_out(any_provider, way):
    identity = await refresh(way, await way.log_in())
    any_provider.revoke("jane")
    with pytest.raises(AccessDenied, match="log in again"):
        await refresh(way, identity)


async def test_who_was_removed_upstream_is_out(any_provider, way):
    identity = await way.log_in()
    del any_provider.users["jane"]
    with pytest.raises(AccessDenied, match="log in again"):
        await refresh(way, identity)


async def test_whose_access_token_is_refused_is_out(any_provider, way_of):
    any_provider.id_token_at_refresh = False
    way = await way_of(getUserInfo=True)
    identity = await way.log_in()
    with (
        any_provider.status(401, path="/userinfo"),
        pytest.raises(AccessDenied, match="log in again"),
    ):
        await refresh(way, identity)


async def test_an_access_token_that_is_not_enough_puts_nobody_out(any_provider, way_of):
    # Nor does a proxy before it that forbids something.
    way = await way_of(getUserInfo=True)
    identity = await way.log_in()
    with any_provider.status(403, path="/userinfo"), pytest.raises(UpstreamError):
        await refresh(way, identity)
    assert (await refresh(way, identity)).user_id == "id-of-jane"


async def test_who_left_the_group_is_out(provider, way_of):
    way = await way_of(insecureEnableGroups=True, allowedGroups=["admins"])
    identity = await way.log_in()
    provider.add_user("jane", groups=["authors"])
    with pytest.raises(NotInRequiredGroups):
        await refresh(way, identity)


async def test_who_has_become_somebody_else_is_out(provider, way):
    identity = await way.log_in()
    provider.id_token_changes["sub"] = "id-of-mallory"
    with pytest.raises(AccessDenied, match="another user"):
        await refresh(way, identity)


@pytest.mark.parametrize(
    "data",
    [b"", kept(""), b"{}", b'{"RefreshToken":null}', b"x", b'{"RefreshToken":1}'],
)
async def test_without_a_token_nobody_is_looked_up(way, provider, data):
    with pytest.raises(AccessDenied, match="no refresh token"):
        await refresh(way, Identity("id-of-jane", connector_data=data))
    assert not provider.asked("/token")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("invalid_grant", AccessDenied),
        ("interaction_required", AccessDenied),
        ("invalid_client", UpstreamError),
        ("invalid_scope", UpstreamError),
    ],
)
async def test_a_refusal_is_about_the_user_or_about_us(way_of, provider, error, kind):
    identity = await (await way_of()).log_in()
    provider.answers["/broken"] = {"error": error}
    provider.metadata_changes["token_endpoint"] = f"{provider.url}/broken"
    with pytest.raises(kind):
        await refresh(await way_of(), identity)


@pytest.mark.parametrize("trouble", ["down", "slow", "status", "hang_up", "html"])
async def test_trouble_upstream_puts_nobody_out(way_of, rotating, trouble):
    way = await way_of(seconds=0.5)
    identity = await way.log_in()
    with getattr(rotating, trouble)(), pytest.raises(UpstreamError) as failed:
        await refresh(way, identity)
    assert isinstance(failed.value, UpstreamUnavailable) == (trouble != "html")
    assert (await refresh(way, identity)).user_id == "id-of-jane"


# — rotated tokens are not lost --------------------------------------------------------


@pytest.mark.parametrize("trouble", ["status", "hang_up", "slow", "html"])
async def test_what_was_rotated_survives_what_comes_after(way_of, rotating, trouble):
    rotating.id_token_at_refresh = False
    way, other = (
        await way_of(getUserInfo=True, seconds=0.5),
        await way_of(getUserInfo=True),
    )
    identity = await way.log_in()
    with (
        getattr(rotating, trouble)(path="/userinfo"),
        pytest.raises(UpstreamError),
    ):
        await refresh(way, identity)
    rotated = await kept_of(way, identity)
    assert token_of(rotated) != token_of(identity)
    # This replica, with what it had; another one, with what was stored.
    assert (await refresh(way, identity)).user_id == "id-of-jane"
    assert (await refresh(other, rotated)).user_id == "id-of-jane"


async def test_what_was_rotated_survives_a_refusal_of_ours(way_of, rotating):
    options = {"insecureEnableGroups": True, "allowedGroups": ["admins"]}
    way, other = await way_of(**options), await way_of(**options)
    identity = await way.log_in()
    rotating.add_user("jane", groups=[])
    with pytest.raises(NotInRequiredGroups):
        await refresh(way, identity)
    rotating.add_user("jane", groups=["admins"])
    rotated = await kept_of(way, identity)
    assert (await refresh(other, rotated)).groups == ("admins",)


async def test_clients_that_share_a_token_do_not_spoil_it_for_each_other(way, rotating):
    # An upstream that sees an old token again ends the login.
    identity = await way.log_in()
    found = await asyncio.gather(*(refresh(way, identity) for _ in range(20)))
    assert len({token_of(each) for each in found}) == 1
    assert len(rotating.asked("/token")) == 2
    assert (await refresh(way, found[0])).user_id == "id-of-jane"


async def test_another_replica_may_have_been_faster(way_of, rotating):
    # It is given what was stored before; what is stored now is newer.
    one, other = await way_of(), await way_of()
    identity = await one.log_in()
    fresh = await refresh(one, identity)
    rotating.forgives = True
    assert token_of(await refresh(other, identity)) != token_of(fresh)


async def test_a_client_that_gives_up_does_not_lose_what_was_rotated(way, rotating):
    identity = await way.log_in()
    with rotating.slow(0.3, path="/token"):
        waiting = asyncio.create_task(refresh(way, identity))
        while not rotating.asked("/token")[1:]:  # noqa: ASYNC110 - another thread's
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await refresh(way, identity)).user_id == "id-of-jane"


async def test_a_rotated_token_that_was_withdrawn_is_not_remembered(way, rotating):
    identity = await refresh(way, await way.log_in())
    rotating.revoke("jane")
    with pytest.raises(AccessDenied):
        await refresh(way, identity)
