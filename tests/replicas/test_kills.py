"""``kill -9`` at every point of what a client or user does, on every shared storage.

A replica dies where the storage has done one more thing; another begins on what is
left, and the books must balance.  Then the next one dies at the next point.
"""

import pytest

from dexcore.testing.app import App
from dexcore.testing.books import Books
from dexcore.testing.lives import Lives

# What they need is imported once, in the process that is forked.
PLUGINS = (
    "dexcore_storage_sql.postgres",
    "dexcore_storage_sql.mysql",
    "dexcore_storage_etcd.storage",
    "dexcore_storage_kubernetes.storage",
)
USER = "user0@example.com"


class Town:
    """A storage, and the one replica on it that is alive."""

    def __init__(self, lives, configuration, opened, http):
        self.lives = lives
        self.books = Books(http)
        self.http = http
        self._configuration = configuration
        self._opened = opened
        self.begin()

    def begin(self):
        self.life = self.lives.begin(self._configuration)
        # Whoever comes next has to be the same issuer.
        self._configuration = {"issuer": self.life.issuer} | self._configuration
        self.app = App(self.life.issuer, self.life.origin)

    async def log_in(self):
        """Log in, long after the last time; return the code."""
        self.lives.forward(60)
        return await self.books.log_in(self.app, USER)

    async def have_tokens(self):
        """Log in and trade; a minute later a refresh is no repetition."""
        assert await self.books.exchange(self.app, USER, await self.log_in())
        self.lives.forward(60)
        return self.books.live[USER]

    async def killed_everywhere(self, prepare, act):
        """Do *act* with a kill at one point after the other; yield what it was on."""
        prepared = await prepare()
        self.life.watch()
        await act(prepared)
        points = worth_a_kill(self.life.passed())
        assert len(points) > 1
        for point, time in points:
            prepared = await prepare()
            self.life.kill_at(point, time)
            await act(prepared)
            self.life.ended()
            self.begin()
            yield point, prepared
            async with self._opened(self._configuration["storage"]) as storage:
                await self.books.balance([self.app], storage)


def worth_a_kill(passed):
    """Return the first point, and those behind which more may be stored."""
    found = passed[:1] + [
        point
        for point in passed[1:]
        if point.endswith((":after", ":commit"))
        and not any(verb in point for verb in (".get:", ".find:", ".list:"))
    ]
    return [(point, found[: n + 1].count(point)) for n, point in enumerate(found)]


@pytest.fixture(params=["sqlite", "postgres", "mariadb", "etcd", "kubernetes"])
def town(request, tmp_path, opened, example, http):
    storage = request.getfixturevalue(f"{request.param}_place")()
    with Lives(tmp_path, PLUGINS) as lives:
        yield Town(lives, example.configuration(storage), opened, http)


async def test_a_code_gives_one_token_set_wherever_its_exchange_is_killed(town):
    async def exchange(code):
        await town.books.exchange(town.app, USER, code)

    async for point, code in town.killed_everywhere(town.log_in, exchange):
        first, second = [await town.app.exchange(town.http, code) for _ in range(2)]
        assert second.status == 400, point
        if point.endswith(":before"):
            assert first.status == 200
        if point == "unit:after":
            assert first.json["error"] == "invalid_grant"


async def test_a_refresh_token_has_one_successor_wherever_it_is_killed(town):
    async def refresh(_):
        await town.books.refresh(town.app, USER)

    async for point, token in town.killed_everywhere(town.have_tokens, refresh):
        once, twice = [await town.app.refresh(town.http, token) for _ in range(2)]
        assert once.status == twice.status == 200, point
        assert once.json["refresh_token"] == twice.json["refresh_token"]


async def test_a_killed_revocation_can_be_repeated(town):
    async def revoke(_):
        await town.books.revoke(town.app, USER)

    async for point, token in town.killed_everywhere(town.have_tokens, revoke):
        assert (await town.app.revoke(town.http, token)).status == 200, point
        access = town.books.access[token]
        town.books.live.clear()
        town.books.revoked.append((token, access))


async def test_a_killed_sign_up_is_whole_or_can_be_repeated(town):
    numbers = iter(range(100))
    await town.have_tokens()

    async def new_address():
        return f"new{next(numbers)}@example.com"

    async def sign_up(email):
        await town.books.sign_up(town.app, email)

    async for point, email in town.killed_everywhere(new_address, sign_up):
        answer = await town.app.sign_up(town.http, email)
        stored = not point.endswith(":before")
        assert answer.status == (409 if stored else 201), point


async def test_a_killed_rotation_invalidates_no_token_and_leaves_one_key(town):
    async def rotate(_):
        town.life.rotate()

    async for _ in town.killed_everywhere(town.have_tokens, rotate):
        keys = await town.app.keys(town.http)
        town.life.rotate()
        kept = {key["kid"] for key in (await town.app.keys(town.http))["keys"]}
        assert {key["kid"] for key in keys["keys"]} <= kept
