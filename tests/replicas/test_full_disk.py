"""The disk of the database is full: a small one in memory, if one may be mounted."""

import asyncio
import contextlib
import os
import subprocess
import time

from datetime import timedelta
from functools import partial

import pytest

from dexcore.errors import StorageError
from dexcore.oauth2.times import utcnow
from dexcore.storage import AuthCode, AuthRequest, Password
from dexcore.testing import servers
from dexcore.testing.app import App
from dexcore.testing.books import Books
from dexcore.testing.lives import Lives

BACK = 30.0  # seconds until everything has to work again
FROM_MEMORY = ("/dex/keys", "/dex/.well-known/openid-configuration")
# What each needs to begin with, and some room; none is used before something is stored.
SORTS = {
    "postgres": (servers.postgres, 120, ("max_wal_size=32MB", "min_wal_size=32MB")),
    "mariadb": (servers.mariadb, 180, ()),
    "etcd": (servers.etcd, 220, ()),
}


@pytest.fixture
def small_disk(tmp_path, not_run):
    """``small_disk(megabytes)``: a folder with no more room than that."""
    with contextlib.ExitStack() as stack:

        def mount(megabytes):
            # Outside of pytest's folders, which other users may not enter.
            folder = stack.enter_context(servers.folder())
            options = f"size={megabytes}m,mode=755"
            command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                not_run(f"no disk can be mounted here. {done.stderr}")
            stack.callback(subprocess.run, ["umount", "--lazy", str(folder)])
            return folder

        yield mount


class Filler:
    """A file that leaves no room for anything else."""

    def __init__(self, folder):
        self._file = folder / "filler"

    def fill(self):
        with self._file.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            for size in (1 << 20, 4096):
                with contextlib.suppress(OSError):
                    while True:
                        os.posix_fallocate(file.fileno(), file.tell(), size)
                        file.seek(size, os.SEEK_CUR)

    def remove(self):
        self._file.unlink(missing_ok=True)


@pytest.mark.parametrize("sort", SORTS)
async def test_a_full_disk_is_an_outage_until_there_is_room(
    sort, small_disk, tmp_path, example, opened, installed, http
):
    start, megabytes, options = SORTS[sort]
    disk = small_disk(megabytes)
    with contextlib.ExitStack() as stack:
        with installed(servers.MISSING[sort]):
            server = stack.enter_context(start(*options, within=disk))
        lives = stack.enter_context(Lives(tmp_path))
        storage = server.storage()
        one = lives.begin(example.configuration(storage))
        same = {"issuer": one.issuer} | example.configuration(storage)
        both = [one, lives.begin(same)]
        left, right = (App(life.issuer, life.origin) for life in both)
        books = Books(http)
        ann, bob, eve = example.users[:3]
        for user in (ann, bob):
            assert await books.exchange(left, user, await books.log_in(left, user))
        await books.log_in(right, eve)
        filler = Filler(disk)
        async with opened(storage) as direct:
            filler.fill()
            await until_full(direct, filler)
        try:
            await everything_is_refused_or_done(books, (left, right))
        finally:
            filler.remove()
        if not server.alive:
            server.start()  # etcd gives up; whoever runs it starts it again
        await until_back(left, right, bob)
        async with opened(storage) as direct:
            await books.balance([left, right], direct)
        assert all(life.alive for life in both)


async def until_full(storage, filler):
    """Store some of everything until that is refused."""
    expiry, text = utcnow() + timedelta(hours=1), "x" * 300
    for records, new in (
        (
            storage.auth_requests,
            partial(AuthRequest, client_id="app", state=text * 10, expiry=expiry),
        ),
        (
            storage.auth_codes,
            partial(AuthCode, client_id="app", nonce=text, expiry=expiry),
        ),
        (storage.passwords, partial(Password, username=text)),
    ):
        for number in range(20_000):
            if number % 50 == 0:
                filler.fill()
            try:
                await records.create(new(f"filler{number}"))
            except StorageError:
                break
        else:
            raise AssertionError("the disk is not full")


async def everything_is_refused_or_done(books, apps):
    """Whatever finds room is done, everything else is an outage, and never half."""
    users = [*books.live]
    numbers = iter(range(1000))
    books.refused = 0
    begun = time.monotonic()
    while books.refused < 4 and time.monotonic() < begun + 30:
        for app in apps:
            for path in FROM_MEMORY:
                assert (await app.send(books.http, "GET", path)).status == 200
            await books.sign_up(app, f"new{next(numbers)}@example.com")
            if users:
                user = users.pop()
                access = books.access[books.live[user]]
                assert (await app.userinfo(books.http, access)).status == 200
                await books.refresh(app, user)
    assert books.refused >= 4


async def until_back(left, right, user):
    async with asyncio.timeout(BACK):
        for app in (left, right):
            while True:
                with contextlib.suppress(AssertionError):
                    await app.code(user)
                    break
                await asyncio.sleep(0.2)
