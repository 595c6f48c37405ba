"""Rows nobody of ours wrote: what they are about fails, the rest goes on."""

import sqlite3

import pytest

BROKEN = [
    ("refresh_token", "claims_groups", "not json"),
    ("refresh_token", "scopes", "[1,"),
    ("refresh_token", "created_at", "yesterday"),
    ("refresh_token", "connector_data", b"\xff" * 1_000_000),
    ("offline_session", "refresh", "[]"),
    ("offline_session", "refresh", '{"one": 7}'),
]


@pytest.mark.parametrize(("table", "column", "value"), BROKEN)
async def test_a_broken_row_breaks_nobody_elses_login(
    house, tmp_path, example, table, column, value
):
    mine, theirs = await house.tokens(), await house.tokens(example.users[1])
    user = "claims_user_id" if table == "refresh_token" else "user_id"
    with sqlite3.connect(tmp_path / "dex.db") as connection:
        done = connection.execute(
            f"UPDATE {table} SET {column} = ? WHERE {user} = 'ann'", (value,)
        )
        assert done.rowcount == 1
    connection.close()
    for answer in (
        await house.refresh(mine["refresh_token"]),
        await house.client("/token/introspect", token=mine["refresh_token"]),
    ):
        if answer.status != 200:
            assert answer.json["error"] in ("server_error", "invalid_grant")
            assert "Traceback" not in answer.text
            assert column not in answer.text
    assert (await house.refresh(theirs["refresh_token"])).status == 200
    assert (await house.userinfo(mine["access_token"])).status == 200
    await house.storage.sweep(house.server.parts.now())
    assert (await house.log_in()).status == 303
