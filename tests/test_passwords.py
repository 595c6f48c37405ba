"""Hashes are verified as dex does, beside the event loop, within limits."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time

from collections.abc import Iterator

import pytest

from dexcore.errors import TemporarilyUnavailable
from dexcore.passwords import CostOutOfRange, MalformedHash, Passwords, check

# Made by Go's golang.org/x/crypto/bcrypt, cost 10, of "password" (dex's own example).
FROM_GO = b"$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W"

# argon2-cffi, t=1, m=8 MiB, p=1, of "password".
ARGON2ID = (
    b"$argon2id$v=19$m=8192,t=1,p=1$c29tZXNhbHRzb21lc2FsdA"
    b"$hPsAa7w81piVcitktb9zUlGp6Onz7Lk/9ZW5iut6zLc"
)


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords()
    yield made
    made.close()


async def test_a_hash_made_by_go_is_verified(passwords: Passwords) -> None:
    assert await passwords.verify(FROM_GO, "password")
    assert not await passwords.verify(FROM_GO, "Password")
    assert not await passwords.verify(FROM_GO, "")


@pytest.mark.parametrize("version", [b"2a", b"2b", b"2x", b"2y"])
async def test_every_minor_version_of_bcrypt_means_the_same(
    passwords: Passwords, version: bytes
) -> None:
    assert await passwords.verify(FROM_GO.replace(b"2a", version, 1), "password")


async def test_bcrypt_looks_at_72_bytes_as_in_go(passwords: Passwords) -> None:
    hash = await passwords.hash("é" * 36)
    assert await passwords.verify(hash, "é" * 36 + "whatever follows")
    assert not await passwords.verify(hash, "é" * 35 + "e")


async def test_a_zero_byte_ends_no_password(passwords: Passwords) -> None:
    hash = await passwords.hash("a\0b")
    assert await passwords.verify(hash, "a\0b")
    assert not await passwords.verify(hash, "a\0c")
    assert not await passwords.verify(hash, "a")


async def test_a_salt_spelled_carelessly_is_read_as_go_reads_it(
    passwords: Passwords,
) -> None:
    hash = bytearray(FROM_GO)
    assert hash[28:29] == b"u"  # 22 characters have four bits more than a salt
    hash[28:29] = b"v"
    assert await passwords.verify(bytes(hash), "password")
    assert not await passwords.verify(bytes(hash), "passwort")


async def test_a_line_break_behind_the_hash_does_no_harm(passwords: Passwords) -> None:
    assert await passwords.verify(FROM_GO + b"\n", "password")


async def test_half_a_surrogate_pair_is_a_wrong_password(passwords: Passwords) -> None:
    assert not await passwords.verify(FROM_GO, "pass\ud800word")


async def test_a_megabyte_is_wrong_at_once(passwords: Passwords) -> None:
    # Time of ours alone, in every thread: others may keep the machine busy.
    began = time.process_time()
    assert not await passwords.verify(FROM_GO, "x" * 1_000_000)
    await passwords.waste(FROM_GO, "x" * 1_000_000)
    assert time.process_time() - began < 0.02
    with pytest.raises(ValueError, match="longer than 4096 bytes"):
        await passwords.hash("x" * 4097, "argon2id")


async def test_a_password_that_bcrypt_would_cut_off_is_not_hashed(
    passwords: Passwords,
) -> None:
    with pytest.raises(ValueError, match="longer than 72 bytes"):
        await passwords.hash("x" * 73)


@pytest.mark.parametrize("cost", [4, 9, 17, 31, 99])
async def test_a_cost_outside_10_to_16_is_refused_as_in_dex(
    passwords: Passwords, cost: int
) -> None:
    hash = FROM_GO.replace(b"$10$", b"$%02d$" % cost)
    with pytest.raises(CostOutOfRange, match=f"cost is {cost}; it must be 10 to 16"):
        await passwords.verify(hash, "password")


@pytest.mark.parametrize(
    "hash",
    [
        b"",
        b"password",
        FROM_GO[:-1],
        FROM_GO + b"x",
        FROM_GO.replace(b"2a", b"3a"),
        FROM_GO.replace(b"2a", b"2"),
        b"$argon2i$" + ARGON2ID.removeprefix(b"$argon2id$"),
        ARGON2ID.replace(b"v=19", b"v=16"),
    ],
)
def test_what_is_no_hash_is_refused_with_a_reason(hash: bytes) -> None:
    with pytest.raises(MalformedHash, match="no bcrypt or argon2id hash"):
        check(hash)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        (b"m=4194304,t=1,p=1", "memory"),
        (b"m=8,t=1,p=1", "memory"),
        (b"m=8192,t=1000,p=1", "t=1000"),
        (b"m=8192,t=0,p=1", "t=0"),
        (b"m=8192,t=1,p=255", "p=255"),
    ],
)
async def test_an_argon2id_hash_cannot_ask_for_the_whole_machine(
    passwords: Passwords, parameters: bytes, reason: str
) -> None:
    with pytest.raises(CostOutOfRange, match=reason):
        await passwords.verify(ARGON2ID.replace(b"m=8192,t=1,p=1", parameters), "x")


async def test_an_argon2id_hash_from_elsewhere_is_verified(
    passwords: Passwords,
) -> None:
    assert await passwords.verify(ARGON2ID, "password")
    assert not await passwords.verify(ARGON2ID, "passwort")


async def test_an_argon2id_hash_that_only_looks_like_one_is_refused(
    passwords: Passwords,
) -> None:
    short = ARGON2ID.replace(b"c29tZXNhbHRzb21lc2FsdA", b"c29tZXNhbHQ")
    with pytest.raises(MalformedHash):
        await passwords.verify(short[:-1] + b"/+/+/", "password")


async def test_new_hashes_are_what_the_file_asks_for() -> None:
    passwords = Passwords(scheme="argon2id")
    try:
        hash = await passwords.hash("correct horse")
        assert hash.startswith(b"$argon2id$v=19$m=19456,t=2,p=1$")
        assert await passwords.verify(hash, "correct horse")
        bcrypt = await passwords.hash("correct horse", scheme="bcrypt", cost=11)
        assert bcrypt.startswith(b"$2a$11$")
        assert await passwords.verify(bcrypt, "correct horse")
    finally:
        passwords.close()


def test_a_hash_is_made_anew_when_ours_would_be_stronger() -> None:
    dear = FROM_GO.replace(b"$10$", b"$12$")
    assert not Passwords().needs_rehash(FROM_GO)
    assert not Passwords().needs_rehash(dear)
    assert not Passwords().needs_rehash(ARGON2ID)  # never back to bcrypt
    assert Passwords(cost=12).needs_rehash(FROM_GO)
    assert Passwords(scheme="argon2id").needs_rehash(dear)
    assert Passwords(scheme="argon2id").needs_rehash(ARGON2ID)  # 8 MiB, once
    strong = ARGON2ID.replace(b"m=8192,t=1", b"m=19456,t=2")
    assert not Passwords(scheme="argon2id").needs_rehash(strong)
    assert Passwords().needs_rehash(b"plain text")


@pytest.mark.parametrize("like", [None, FROM_GO, ARGON2ID, b"no hash at all"])
async def test_nobody_costs_as_much_as_somebody(
    passwords: Passwords, like: bytes | None
) -> None:
    known = like if like in (FROM_GO, ARGON2ID) else FROM_GO
    assert known is not None
    await passwords.verify(known, "warm")
    spent = [await _seconds(passwords.verify(known, "wrong")) for _ in range(3)]
    wasted = [await _seconds(passwords.waste(like, "wrong")) for _ in range(3)]
    assert min(spent) / 3 < min(wasted) < min(spent) * 3


async def test_without_an_example_nobody_costs_as_much_as_a_new_user() -> None:
    passwords = Passwords(scheme="argon2id")
    try:
        known = await passwords.hash("right")
        spent = [await _seconds(passwords.verify(known, "wrong")) for _ in range(3)]
        wasted = [await _seconds(passwords.waste()) for _ in range(3)]
        assert min(spent) / 3 < min(wasted) < min(spent) * 3
    finally:
        passwords.close()


async def test_whoever_comes_when_too_many_wait_is_told_to_come_later() -> None:
    passwords = Passwords(threads=1)
    try:
        crowd = [
            asyncio.ensure_future(passwords.verify(ARGON2ID, "wrong"))
            for _ in range(40)
        ]
        outcomes = await asyncio.gather(*crowd, return_exceptions=True)
        assert outcomes[:17] == [False] * 17
        assert all(isinstance(each, TemporarilyUnavailable) for each in outcomes[17:])
        assert not await passwords.verify(ARGON2ID, "wrong")
    finally:
        passwords.close()


async def test_whoever_hangs_up_gives_their_place_away() -> None:
    passwords = Passwords(threads=1)
    try:
        for _ in range(3):
            crowd = [
                asyncio.ensure_future(passwords.verify(ARGON2ID, "wrong"))
                for _ in range(16)  # one runs on to its end
            ]
            await asyncio.sleep(0)
            for each in crowd:
                each.cancel()
            outcomes = await asyncio.gather(*crowd, return_exceptions=True)
            assert {type(each) for each in outcomes} == {asyncio.CancelledError}
        assert await passwords.verify(ARGON2ID, "password")
    finally:
        passwords.close()


async def test_the_event_loop_runs_on_while_threads_hash(passwords: Passwords) -> None:
    work = asyncio.gather(*(passwords.verify(FROM_GO, "wrong") for _ in range(4)))
    gaps = []
    while not work.done():
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        gaps.append(time.perf_counter() - began)
    assert await work == [False] * 4
    assert len(gaps) > 10


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a niceness on Linux")
async def test_hashing_threads_are_nicer_than_the_event_loop() -> None:
    passwords = Passwords(threads=1)
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        await passwords.verify(ARGON2ID, "wrong")
        nicest = max(
            os.getpriority(os.PRIO_PROCESS, int(thread))
            for thread in os.listdir("/proc/self/task")
        )
        assert nicest == min(ours + 10, 19)
    finally:
        passwords.close()


def test_nothing_is_hashed_or_loaded_before_the_first_password() -> None:
    code = (
        "import sys, dexcore.passwords; dexcore.passwords.Passwords();"
        "print({'bcrypt', 'argon2'} & set(sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "set()"


async def _seconds(work: object) -> float:
    began = time.process_time()
    await work  # type: ignore[misc]
    return time.process_time() - began
