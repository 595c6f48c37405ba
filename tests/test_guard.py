"""The guard: who asks too often has to wait, and only they."""

from __future__ import annotations

import attrs
import pytest

from dexcore.errors import TooManyRequests
from dexcore.server.guard import Guard, network


@attrs.define
class Clock:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_burst_is_allowed_and_then_no_more(clock: Clock) -> None:
    guard = Guard(rate=1, burst=3, clock=clock)

    assert [guard.allow("192.0.2.1") for _ in range(5)] == [True] * 3 + [False] * 2


def test_tokens_come_back_at_the_rate_and_never_above_the_burst(clock: Clock) -> None:
    guard = Guard(rate=0.5, burst=2, clock=clock)
    guard.allow("a", cost=2)

    clock.now += 1.9
    assert not guard.allow("a")
    clock.now += 0.1
    assert guard.allow("a")
    clock.now += 3600
    assert [guard.allow("a") for _ in range(3)] == [True, True, False]


def test_one_client_does_not_wait_for_another(clock: Clock) -> None:
    guard = Guard(rate=1, burst=1, clock=clock)
    guard.allow("192.0.2.1")

    assert guard.allow("192.0.2.2")
    assert not guard.allow("192.0.2.1")


def test_who_is_refused_is_told_in_how_many_seconds_to_return(clock: Clock) -> None:
    guard = Guard(rate=0.1, burst=1, clock=clock)
    guard.check("a")
    clock.now += 0.5

    with pytest.raises(TooManyRequests) as refused:
        guard.check("a")

    assert refused.value.status == 429
    assert refused.value.headers["Retry-After"] == "10"
    clock.now += 10
    guard.check("a")


def test_asking_in_vain_does_not_make_the_wait_longer(clock: Clock) -> None:
    guard = Guard(rate=1, burst=1, clock=clock)
    guard.check("a")
    for _ in range(100):
        assert not guard.allow("a")

    clock.now += 1
    assert guard.allow("a")


def test_what_is_given_back_can_be_used_again_but_does_not_pile_up(
    clock: Clock,
) -> None:
    guard = Guard(rate=1, burst=2, clock=clock)
    guard.check("a")
    for _ in range(5):
        guard.give_back("a")

    assert [guard.allow("a") for _ in range(3)] == [True, True, False]


def test_an_ipv6_network_is_one_client(clock: Clock) -> None:
    guard = Guard(rate=1, burst=1, clock=clock)
    guard.allow("2001:db8:0:1::1")

    assert not guard.allow("2001:db8:0:1:ffff:ffff:ffff:ffff")
    assert guard.allow("2001:db8:0:2::1")


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("admin@example.com", "admin@example.com"),
        ("", ""),
    ],
)
def test_what_counts_as_one_client(address: str, counted: str) -> None:
    assert network(address) == counted


def test_a_flood_of_addresses_does_not_grow_memory(clock: Clock) -> None:
    guard = Guard(rate=1, burst=1, keys=100, clock=clock)
    for number in range(1_000):
        guard.allow(f"client {number}")

    assert not guard.allow("client 999")
    assert not guard.allow("client 901")
    assert guard.allow("client 0"), "the one seen longest ago was forgotten"


def test_an_account_is_guarded_against_a_whole_network():
    """Whoever owns an IPv6 network guesses one password from many addresses."""
    guard = Guard(rate=1, burst=1, clock=lambda: 0)
    guard.check("2001:db8:0:1::1", about="local jane")
    assert not guard.allow("2001:db8:0:1::2", about="local jane")
    assert guard.allow("2001:db8:0:1::2", about="local john")
    assert guard.allow("2001:db8:0:2::1", about="local jane")
