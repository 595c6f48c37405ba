"""What a start does not do: import what the file does not name, hash, load keys.

Nothing here is timed.  Each test starts ``dexcore serve`` in a process of its own, asks
it one thing, and looks at what it has imported until then.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import ssl
import subprocess
import sys

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
import pytest
import trustme

from aiohttp import web
from aiohttp.test_utils import TestServer

#: Serves the file, asks once as soon as somebody listens, says what it saw, and stops.
SERVE_AND_ASK = """
import gc, json, os, signal, socket, sys, threading, time

file, port = sys.argv[1], int(sys.argv[2])

def ask():
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port))
            break
        except OSError:
            time.sleep(0.01)
    connection.sendall(
        b"GET /dex/.well-known/openid-configuration HTTP/1.1\\r\\n"
        b"Host: localhost\\r\\nConnection: close\\r\\n\\r\\n"
    )
    answer = b"".join(iter(lambda: connection.recv(65536), b""))
    print(json.dumps({
        "answer": answer.decode(),
        "modules": sorted(sys.modules),
        "frozen": gc.get_freeze_count(),
        "threshold": gc.get_threshold(),
    }))
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=ask, daemon=True).start()
from dexcore.cli import main
main(["serve", file])
"""

FORBIDDEN = (
    # other plugins' libraries, and what our own only need later
    "aiodns",
    "aiomysql",
    "asyncmy",
    "asyncpg",
    "cattrs",
    "grpc",
    "jwcrypto",
    "ldap3",
    "prometheus_client",
    "psycopg",
    "pymysql",
    "requests",
    "saml2",
    "sqlalchemy",
    # whoever imports these hashes a password sooner or later
    "argon2",
    "bcrypt",
    # other commands
    "dexcore.config.check",
    "dexcore.config.schema",
    "dexcore.testing",
)


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """The configuration file, for a test to change."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {
        "issuer": f"http://127.0.0.1:{port}/dex",
        "storage": {"type": "sqlite3", "config": {"file": str(tmp_path / "dex.db")}},
        "web": {"http": f"127.0.0.1:{port}"},
        "telemetry": {"http": "127.0.0.1:0"},
        "connectors": [
            {"type": "mockCallback", "id": "mock", "name": "Mock"},
            {
                "type": "mockPassword",
                "id": "password",
                "name": "Password",
                "config": {"username": "jane", "password": "secret"},
            },
        ],
        "enablePasswordDB": True,
        "staticPasswords": [
            {
                "email": "jane@example.com",
                "hash": "$2b$10$RAZVb0OF7LpfzU3LAClBAOXVic5OCrlh45Zu8izivXC4tlekHR5QO",
                "username": "jane",
                "userID": "08a8684b-db88-4b73-90a9-3cd1661f5466",
            }
        ],
    }


@pytest.fixture
def seen(tmp_path: Path, settings: dict[str, Any]):
    """Serve the settings, ask once, and return what was seen then."""

    def run() -> dict[str, Any]:
        file = tmp_path / "config.yaml"
        file.write_bytes(orjson.dumps(settings))
        port = settings["web"]["http"].rpartition(":")[2]
        done = subprocess.run(
            [sys.executable, "-c", SERVE_AND_ASK, str(file), port],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["answer"].startswith("HTTP/1.1 200 OK")
        return found

    return run


def within(modules: list[str], *names: str) -> list[str]:
    """Those of *modules* that are one of *names* or inside it."""
    return [
        each for each in modules if any(f"{each}.".startswith(f"{n}.") for n in names)
    ]


def plugins(modules: list[str]) -> set[str]:
    found = {each.partition(".")[0] for each in modules}
    return {each for each in found if each.startswith("dexcore_")}


def test_a_start_imports_nothing_that_it_does_not_need(seen) -> None:
    assert within(seen()["modules"], *FORBIDDEN) == []


def test_a_second_start_imports_no_more(seen) -> None:
    seen()  # makes the database and the keys
    assert within(seen()["modules"], *FORBIDDEN) == []


def test_only_plugins_that_the_file_names_are_imported(seen) -> None:
    assert plugins(seen()["modules"]) == {"dexcore_storage_sql"}


def test_a_plugin_that_the_file_names_is_imported(settings, seen) -> None:
    settings["storage"] = {"type": "memory"}
    settings["enableSignup"] = True
    assert plugins(seen()["modules"]) == {"dexcore_storage_memory", "dexcore_signup"}


def test_sqlite_does_not_bring_the_other_databases(seen) -> None:
    others = ("postgres", "mysql")
    names = [f"dexcore_storage_sql.{each}" for each in others]
    assert within(seen()["modules"], *names) == []


def test_what_a_server_is_made_of_is_no_longer_searched_for_garbage(seen) -> None:
    found = seen()
    assert found["frozen"] > 10_000
    assert tuple(found["threshold"]) == gc.get_threshold()


# — the certificates we trust as a client ----------------------------------------------

#: uvloop is an extra.
LOOPS = [each for each in ("asyncio", "uvloop") if find_spec(each)]

#: Asks twice over TLS; says how many authorities its contexts trusted before and after.
ASK_OVER_TLS = """
import asyncio, gc, json, ssl, sys
import dexcore.server
import aiohttp

def trusted():
    contexts = [each for each in gc.get_objects() if isinstance(each, ssl.SSLContext)]
    return sum(each.cert_store_stats()["x509_ca"] for each in contexts)

async def ask():
    async with aiohttp.ClientSession() as session:
        for _ in range(2):
            async with session.get(sys.argv[1]) as answer:
                status = answer.status
                answer.close()
        return status

before = trusted()
try:
    status = __import__(sys.argv[2]).run(ask())
except aiohttp.ClientConnectorCertificateError:
    status = "not trusted"
print(json.dumps({"before": before, "status": status, "after": trusted()}))
"""


@pytest.fixture
async def elsewhere():
    """A server over TLS, and the authority that vouches for it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    app = web.Application()

    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    app.router.add_get("/", hello)
    server = TestServer(app, scheme="https", host="localhost")
    await server.start_server(ssl=context)
    yield str(server.make_url("/")), authority
    await server.close()


async def ask(url: str, loop: str, folder: Path, trust: trustme.CA) -> dict[str, Any]:
    bundle = folder / "ca.pem"
    trust.cert_pem.write_to_path(str(bundle))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ASK_OVER_TLS, url, loop),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "SSL_CERT_FILE": str(bundle), "SSL_CERT_DIR": str(folder)},
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    return json.loads(out)


@pytest.mark.parametrize("loop", LOOPS)
async def test_certificates_are_loaded_when_we_first_ask_over_tls(
    elsewhere, tmp_path, loop
) -> None:
    url, authority = elsewhere
    found = await ask(url, loop, tmp_path, authority)
    assert found == {"before": 0, "status": 200, "after": 1}


@pytest.mark.parametrize("loop", LOOPS)
async def test_a_server_that_nobody_vouches_for_is_not_trusted(
    elsewhere, tmp_path, loop
) -> None:
    url, _ = elsewhere
    found = await ask(url, loop, tmp_path, trustme.CA())
    assert found["status"] == "not trusted"


def test_contexts_made_before_us_are_left_alone() -> None:
    program = (
        "import aiohttp.connector, ssl, dexcore.server; "
        "print(any(vars(each) for each in vars(aiohttp.connector).values() "
        "if isinstance(each, ssl.SSLContext)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "False\n"


def test_other_contexts_load_their_certificates_as_ever() -> None:
    program = (
        "import dexcore.server, ssl; "
        "context = ssl.create_default_context(); "
        "print(vars(context), 'set_default_verify_paths' in vars(ssl.SSLContext))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "{} False\n"
