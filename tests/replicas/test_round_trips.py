"""How often the database is asked for what a client does, counted on the wire."""

import pytest

from dexcore.testing.app import App
from dexcore.testing.books import Books
from dexcore.testing.cable import Cable
from dexcore.testing.lives import Lives

USER = "user0@example.com"


@pytest.fixture
def asked(request, tmp_path, example, http):
    """``await asked(sort)``: the round trips of a login, an exchange, and a refresh."""

    async def run(sort):
        server = request.getfixturevalue(f"{sort}_server")
        with Cable("127.0.0.1", server.port) as cable, Lives(tmp_path) as lives:
            storage = example.rerouted(server.storage(), cable.port)
            life = lives.begin(example.configuration(storage))
            books, app = Books(http), App(life.issuer, life.origin)
            counts = []
            # Beside, the server looks for keys and revocations now and then.
            for _ in range(6):
                begun = cable.turns
                code = await books.log_in(app, USER)
                in_between = cable.turns
                assert await books.exchange(app, USER, code)
                traded = cable.turns
                lives.forward(60)
                assert await books.refresh(app, USER)
                counts.append(
                    (in_between - begun, traded - in_between, cable.turns - traded)
                )
        return tuple(map(min, zip(*counts, strict=True)))

    return run


@pytest.mark.parametrize(
    ("sort", "at_most"),
    [("postgres", (1, 3, 3)), ("mariadb", (1, 9, 8)), ("kubernetes", (1, 8, 6))],
)
async def test_no_operation_asks_the_database_more_often_than_it_must(
    asked, sort, at_most
):
    found = await asked(sort)
    assert all(one <= most for one, most in zip(found, at_most, strict=True)), found
    assert all(found)
