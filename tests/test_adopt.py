"""``dexcore adopt --check``: looking before taking over."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

CLIENT = """
CREATE TABLE client (id text not null primary key, secret text not null,
  redirect_uris blob not null, trusted_peers blob not null, public integer not null,
  name text not null, logo_url text not null)
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A file as some dex left it, made by hand: one migration, one table."""
    path = tmp_path / "dex.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE migrations (num integer, at timestamp)")
        connection.execute(CLIENT)
        connection.execute(
            "INSERT INTO client VALUES ('app', 's3cr3t', '[]', '[]', 0, 'App', '')"
        )
    return path


def adopt(folder: Path, storage: dict[str, Any], *options: str) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error."""
    file = folder / "config.json"
    document = {
        "issuer": "http://127.0.0.1:5556/dex",
        "storage": storage,
        "web": {"http": "127.0.0.1:0"},
        "enablePasswordDB": True,
    }
    file.write_text(json.dumps(document))
    command = [sys.executable, "-m", "dexcore", "adopt", *options, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def sqlite(path: Path) -> dict[str, Any]:
    return {"type": "sqlite3", "config": {"file": str(path)}}


def mark_done(path: Path, number: int) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO migrations VALUES (?, date('now'))", (number,))


def test_a_person_reads_what_is_there_and_what_will_change(
    tmp_path: Path, database: Path
) -> None:
    before = hashlib.sha256(database.read_bytes()).digest()
    code, out, error = adopt(tmp_path, sqlite(database), "--check")
    assert code == 1, error  # nothing was migrated, though a table is there
    assert "  migrations: 0 of " in out
    assert "  client: 1\n" in out
    assert "  make the table dexcore_record\n" in out
    assert out.endswith("Nothing was written.\n")
    assert "s3cr3t" not in out + error
    assert hashlib.sha256(database.read_bytes()).digest() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "dex.db"]


def test_a_program_reads_json(tmp_path: Path, database: Path) -> None:
    mark_done(database, 1)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE client SET redirect_uris = '[s3cr3t'")
    code, out, _ = adopt(tmp_path, sqlite(database), "--check", "--format", "json")
    found = json.loads(out)
    assert code == found["exit_code"] == 1
    assert found["counts"]["client"] == 1
    assert found["levels"][0]["found"] == 1
    [broken] = found["unreadable"]
    assert (broken["kind"], broken["key"]) == ("client", "app")
    assert broken["reason"].startswith("redirect_uris: ")
    assert "s3cr3t" not in out


def test_a_newer_database_is_reported_and_refused(
    tmp_path: Path, database: Path
) -> None:
    mark_done(database, 99)
    code, out, _ = adopt(tmp_path, sqlite(database), "--check")
    assert code == 2
    assert "dexcore would not start: " in out
    assert "  client: 1\n" in out


def test_a_storage_that_is_not_there_cannot_be_opened(tmp_path: Path) -> None:
    code, out, error = adopt(tmp_path, sqlite(tmp_path / "no.db"), "--check")
    assert (code, out) == (2, "")
    assert "No such file" in error
    assert not (tmp_path / "no.db").exists()


def test_a_storage_that_cannot_be_looked_into_says_so(tmp_path: Path) -> None:
    code, out, error = adopt(tmp_path, {"type": "memory"}, "--check")
    assert (code, out) == (2, "")
    assert 'The storage "memory" offers no way to look into it' in error


def test_without_check_nothing_happens(tmp_path: Path, database: Path) -> None:
    code, _, error = adopt(tmp_path, sqlite(database))
    assert code == 2
    assert "Give --check" in error
