"""Two replicas on one database, and everything at once."""

import asyncio
import base64
import hashlib

import pytest

VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123"
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest())
    .rstrip(b"=")
    .decode()
)


@pytest.fixture
def replicas(open_house, clock):
    """``await replicas("0s")``: two servers with this reuse interval."""

    async def start(interval):
        expiry = {"refreshTokens": {"reuseInterval": interval}}
        left = await open_house(expiry=expiry, now=clock)
        right = await open_house(expiry=expiry, now=clock, issuer=left.base)
        return left, right

    return start


async def at_once(replicas, times, act):
    """Let each replica do *act* so many times, all together."""
    return await asyncio.gather(
        *(act(replica) for _ in range(times) for replica in replicas)
    )


def statuses(answers):
    return sorted(answer.status for answer in answers)


async def test_of_many_who_bring_a_code_one_gets_tokens(replicas):
    both = await replicas("0s")
    code = await both[0].code(code_challenge=CHALLENGE, code_challenge_method="S256")
    answers = await at_once(
        both, 10, lambda each: each.exchange(code, code_verifier=VERIFIER)
    )
    assert statuses(answers) == [200] + [400] * 19
    [tokens] = [answer.json for answer in answers if answer.status == 200]
    # The losers are the client itself: it keeps what it got.
    for each in both:
        assert (await each.userinfo(tokens["access_token"])).status == 200
    assert (await both[1].refresh(tokens["refresh_token"])).status == 200


async def test_of_many_who_refresh_at_once_one_gets_tokens(replicas, clock):
    both = await replicas("0s")
    token = (await both[0].tokens())["refresh_token"]
    answers = await at_once(both, 10, lambda each: each.refresh(token))
    assert statuses(answers) == [200] + [400] * 19
    [winner] = [answer.json for answer in answers if answer.status == 200]
    assert (await both[1].refresh(winner["refresh_token"])).status == 200


async def test_within_the_interval_all_get_the_same_successor(replicas, clock):
    both = await replicas("30s")
    token = (await both[0].tokens())["refresh_token"]
    clock.move(minutes=1)
    answers = await at_once(both, 10, lambda each: each.refresh(token))
    assert statuses(answers) == [200] * 20
    assert len({answer.json["refresh_token"] for answer in answers}) == 1


async def test_a_revocation_wins_against_refreshes(replicas):
    both = await replicas("0s")
    for _ in range(5):
        tokens = await both[0].tokens()
        token = tokens["refresh_token"]
        refreshed, revoked = await asyncio.gather(
            both[0].refresh(token), both[1].revoke(token)
        )
        assert revoked.status == 200
        assert refreshed.status in (200, 400)
        if refreshed.status == 200:
            token = refreshed.json["refresh_token"]
        assert (await both[0].refresh(token)).status == 400


async def test_an_address_signs_up_once(replicas):
    both = await replicas("0s")
    answers = await at_once(both, 3, lambda each: each.sign_up("new@example.com"))
    assert statuses(answers) == [201] + [409] * 5


async def test_six_logins_leave_one_refresh_token(replicas):
    both = await replicas("0s")
    codes = await at_once(both, 3, lambda each: each.code())
    answers = await asyncio.gather(*(both[0].exchange(code) for code in codes))
    assert statuses(answers) == [200] * 6
    [record] = await both[1].storage.refresh_tokens.list()
    works = [await both[1].refresh(answer.json["refresh_token"]) for answer in answers]
    assert statuses(works) == [200] + [400] * 5
    [session] = await both[1].storage.offline_sessions.list()
    assert session.refresh["one"].id == record.id
