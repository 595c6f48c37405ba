"""The command line, as an operator and an init system use it."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import signal
import socket
import sys

from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import attrs
import orjson
import pytest
import trustme

from aiohttp import ClientSession

DEXCORE = (sys.executable, "-m", "dexcore")


async def dexcore(*arguments: str) -> tuple[int | None, str, str]:
    """Run a command to its end; return exit code, standard output and error."""
    process = await asyncio.create_subprocess_exec(
        *DEXCORE, *arguments, stdout=PIPE, stderr=PIPE
    )
    out, error = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode(), error.decode()


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """The configuration file, for a test to change."""
    return {
        "issuer": "http://127.0.0.1:5556/dex",
        "storage": {"type": "sqlite3", "config": {"file": str(tmp_path / "dex.db")}},
        "web": {"http": "127.0.0.1:0"},
        "telemetry": {"http": "127.0.0.1:0"},
        "logger": {"format": "json"},
        "connectors": [{"type": "mockCallback", "id": "mock", "name": "Mock"}],
        "staticClients": [
            {
                "id": "app",
                "name": "App",
                "secret": "a-secret-for-tests",
                "redirectURIs": ["http://127.0.0.1:5555/callback"],
            }
        ],
    }


@attrs.define
class Served:
    """A running ``dexcore serve``, and what it has logged."""

    process: Process
    addresses: dict[str, str]
    lines: list[dict[str, Any]]
    reading: asyncio.Task[None]

    def url(self, path: str, server: str = "http") -> str:
        return f"http://{self.addresses[server]}{path}"

    async def connect(
        self, **options: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self.addresses["http"].rsplit(":", 1)
        return await asyncio.open_connection(host, int(port), **options)

    async def until(self, happened: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not happened():  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.02)

    def said(self, message: str) -> list[dict[str, Any]]:
        return [each for each in self.lines if each["msg"] == message]

    async def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.returncode is None:
            self.process.send_signal(number)
        code = await asyncio.wait_for(self.process.wait(), 30)
        await self.reading
        return code


Serve = Callable[..., Coroutine[Any, Any, Served]]


@pytest.fixture
async def serve(tmp_path: Path, settings: dict[str, Any]) -> AsyncIterator[Serve]:
    """Serve the settings, with options, until the test is over."""
    running: list[Served] = []

    async def start(*options: str) -> Served:
        file = tmp_path / "config.yaml"
        file.write_bytes(orjson.dumps(settings))
        process = await asyncio.create_subprocess_exec(
            *DEXCORE, "serve", *options, str(file), stderr=PIPE
        )
        lines: list[dict[str, Any]] = []
        found = Served(process, {}, lines, asyncio.create_task(read(process, lines)))
        running.append(found)

        def listening() -> bool:
            for each in found.said("listening on"):
                found.addresses[each["server"]] = each["address"]
            return bool({"http", "https"} & found.addresses.keys())

        await found.until(listening)
        return found

    yield start
    for each in running:
        await each.stop(signal.SIGKILL)


async def read(process: Process, lines: list[dict[str, Any]]) -> None:
    assert process.stderr is not None
    async for line in process.stderr:
        lines.append(json.loads(line))


# — Commands ---------------------------------------------------------------------------


async def test_without_a_command_there_is_help_and_exit_2() -> None:
    code, out, error = await dexcore()
    assert code == 2
    for command in ("serve", "check", "schema", "plugins", "version"):
        assert f"\n  {command} " in out + error


async def test_the_version_is_three_lines() -> None:
    code, out, _ = await dexcore("version")
    assert code == 0
    program, python, machine = out.splitlines()
    assert program.startswith("Dexcore Version: ")
    assert python == f"Python Version: {platform.python_version()}"
    assert machine == f"OS/ARCH: {sys.platform} {platform.machine()}"


@pytest.mark.parametrize(
    "arguments",
    [("serve",), ("serve", "a", "b"), ("serve", "--no", "a"), ("bogus",), ("check",)],
)
async def test_wrong_usage_is_exit_2_and_says_how(arguments: tuple[str, ...]) -> None:
    code, out, error = await dexcore(*arguments)
    assert (code, out) == (2, "")
    assert error.startswith("Usage: dexcore")


async def test_version_is_instant_because_it_imports_no_server() -> None:
    program = (
        "import sys; from dexcore.cli import main\n"
        "try: main(['version'])\n"
        "finally: print(sorted({'aiohttp', 'cryptography', 'yaml'} & {*sys.modules}))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=PIPE
    )
    out, _ = await process.communicate()
    assert out.decode().splitlines()[-1] == "[]"


async def test_a_good_file_is_exit_0(tmp_path: Path, settings: dict[str, Any]) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(orjson.dumps(settings))
    code, out, error = await dexcore("check", str(file))
    assert (code, out, error) == (0, "", "")


async def test_a_bad_file_is_exit_1_with_every_problem(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    del settings["issuer"], settings["storage"]
    file = tmp_path / "config.yaml"
    file.write_bytes(orjson.dumps(settings))
    code, out, error = await dexcore("check", str(file))
    assert (code, error) == (1, "")
    assert "issuer" in out
    assert "storage" in out
    code, out, _ = await dexcore("check", "--format", "json", str(file))
    assert code == 1
    messages = " ".join(each["message"] for each in json.loads(out))
    assert "issuer" in messages
    assert "storage" in messages


async def test_the_schema_is_json_and_knows_installed_plugins() -> None:
    code, out, _ = await dexcore("schema")
    assert code == 0
    assert "issuer" in json.loads(out)["properties"]
    assert "sqlite3" in out


async def test_the_plugins_are_shown_for_people_and_for_programs() -> None:
    code, out, _ = await dexcore("plugins")
    assert code == 0
    assert "sqlite3" in out
    code, out, _ = await dexcore("plugins", "--json")
    assert code == 0
    assert json.loads(out)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"issuer": ""}, "issuer"),
        ({"storage": {"type": "etcd-of-yore"}}, "etcd-of-yore"),
        ({"web": {"http": "127.0.0.1:0", "https": "127.0.0.1:0"}}, "tlsCert"),
    ],
)
async def test_what_cannot_be_served_is_said_plainly_with_exit_2(
    tmp_path: Path, settings: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(orjson.dumps({**settings, **change}))
    code, out, error = await dexcore("serve", str(file))
    assert (code, out) == (2, "")
    assert said in error
    assert "Traceback" not in error


async def test_a_file_that_is_not_there_is_said_plainly() -> None:
    code, _, error = await dexcore("serve", "/no/such/file.yaml")
    assert code == 2
    assert "/no/such/file.yaml" in error
    assert "Traceback" not in error


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_port_in_use_is_said_plainly(
    tmp_path: Path, settings: dict[str, Any], workers: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings["web"]["http"] = address
        file = tmp_path / "config.yaml"
        file.write_bytes(orjson.dumps(settings))
        code, _, error = await dexcore("serve", "--workers", workers, str(file))
    assert code == 2
    assert f"web.http: cannot listen on {address}: Address already in use." in error
    assert "Traceback" not in error


# — Serving ----------------------------------------------------------------------------


async def test_serving_says_what_and_where(serve: Serve) -> None:
    served = await serve()
    assert served.said("config issuer")[0]["issuer"] == "http://127.0.0.1:5556/dex"
    assert served.said("config storage")[0]["storage_type"] == "sqlite3"
    assert served.said("config static client")[0]["client_name"] == "App"
    assert served.said("config connector")[0]["connector_id"] == "mock"
    assert list(served.addresses) == ["http/telemetry", "http"]
    async with ClientSession() as session:
        path = "/dex/.well-known/openid-configuration"
        async with session.get(served.url(path)) as response:
            assert response.status == 200
        async with session.get(served.url("/metrics", "http/telemetry")) as response:
            assert "/.well-known/openid-configuration" in await response.text()


async def test_flags_replace_addresses_of_the_file(
    serve: Serve, settings: dict[str, Any]
) -> None:
    settings["web"]["http"] = "192.0.2.1:1"
    settings["telemetry"]["http"] = "192.0.2.1:2"
    flags = ("--web-http-addr", "127.0.0.1:0", "--telemetry-addr=127.0.0.1:0")
    served = await serve(*flags)
    assert all(each.startswith("127.0.0.1:") for each in served.addresses.values())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_requests_finish_and_exits_0(
    serve: Serve, number: int
) -> None:
    served = await serve()
    form = b"grant_type=authorization_code&code=x"
    reader, writer = await served.connect()
    writer.write(
        b"POST /dex/token HTTP/1.1\r\nHost: x\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: %d\r\n\r\n" % len(form)
    )
    writer.write(form[:5])
    await writer.drain()
    await asyncio.sleep(0.2)
    served.process.send_signal(number)
    await served.until(lambda: bool(served.said("stopping")))
    async with ClientSession() as session:
        ready = served.url("/healthz/ready", "http/telemetry")
        async with session.get(ready) as response:
            assert response.status == 503
    with pytest.raises(ConnectionRefusedError):
        await served.connect()
    writer.write(form[5:])
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 40")
    assert b"\r\nConnection: close\r\n" in answer
    assert b'"error"' in answer
    assert await served.stop() == 0


async def test_sighup_without_tls_kills_nobody(serve: Serve) -> None:
    served = await serve()
    served.process.send_signal(signal.SIGHUP)
    await served.until(
        lambda: bool(served.said("nothing to reload: there is no certificate"))
    )
    assert await served.stop() == 0


async def test_sighup_loads_the_certificate_again(
    serve: Serve, settings: dict[str, Any], tmp_path: Path
) -> None:
    authority = trustme.CA()
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"

    def write() -> None:
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(key)
        issued.cert_chain_pems[0].write_to_path(cert)

    write()
    settings["web"] = {
        "https": "127.0.0.1:0",
        "tlsCert": str(cert),
        "tlsKey": str(key),
    }
    served = await serve()
    served.addresses["http"] = served.addresses["https"]
    context = authority_context(authority)

    async def serial() -> str:
        _, writer = await served.connect(ssl=context)
        shown = writer.get_extra_info("peercert")
        writer.close()
        return str(shown["serialNumber"])

    before = await serial()
    write()
    served.process.send_signal(signal.SIGHUP)
    await served.until(lambda: bool(served.said("certificate loaded")))
    assert await serial() != before
    assert await served.stop() == 0


def authority_context(authority: trustme.CA) -> Any:
    import ssl

    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_no_secret_of_a_request_is_ever_logged(
    serve: Serve, settings: dict[str, Any]
) -> None:
    settings["logger"]["level"] = "DEBUG"
    served = await serve()
    async with ClientSession() as session:
        query = "client_id=canary1&state=canary2&code=canary3&nonce=canary4"
        async with session.get(served.url(f"/dex/auth?{query}")) as response:
            await response.read()
        form = {"grant_type": "authorization_code", "code": "canary5"}
        form |= {"client_secret": "canary6", "code_verifier": "canary7"}
        async with session.post(served.url("/dex/token"), data=form) as response:
            await response.read()
    await served.stop()
    requests = [each["path"] for each in served.said("request")]
    assert requests == ["/dex/auth", "/dex/token"]
    assert [n for n in "234567" if f"canary{n}" in str(served.lines)] == []


# — Workers ----------------------------------------------------------------------------


async def test_memory_cannot_be_shared_by_workers(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    settings["storage"] = {"type": "memory"}
    file = tmp_path / "config.yaml"
    file.write_bytes(orjson.dumps(settings))
    code, _, error = await dexcore("serve", "--workers", "2", str(file))
    assert code == 2
    assert 'storage.type: "memory" lives in one process' in error
    assert error.count("lives in one process") == 1
    assert "Traceback" not in error


async def counted(served: Served, path: str) -> float:
    """Return how often all workers together say *path* was answered."""
    async with ClientSession() as session:
        url = served.url("/metrics", "http/telemetry")
        async with session.get(url) as response:
            text = await response.text()
    return sum(
        float(line.split()[-1])
        for line in text.splitlines()
        if line.startswith("http_requests_total{") and f'"{path}"' in line
    )


async def ask(served: Served, times: int) -> None:
    for _ in range(times):
        # A connection each, so that the kernel may choose another worker.
        url = served.url("/dex/keys")
        async with ClientSession() as session, session.get(url) as response:
            assert response.status == 200


async def test_workers_share_a_port_and_one_that_dies_is_replaced(
    serve: Serve,
) -> None:
    served = await serve("--workers", "2")

    def listening() -> int:
        return len([e for e in served.said("listening on") if e["server"] == "http"])

    await served.until(lambda: listening() == 2)
    assert len({e["address"] for e in served.said("listening on")}) == 2
    await ask(served, 30)
    await asyncio.sleep(1.2)  # a worker writes its numbers every second
    assert await counted(served, "/keys") == 30

    os.kill(served.said("worker started")[0]["pid"], signal.SIGKILL)
    await served.until(lambda: listening() == 3)
    assert served.said("worker died")[0]["exit_code"] == -signal.SIGKILL
    await ask(served, 10)
    await asyncio.sleep(1.2)
    assert await counted(served, "/keys") == 40
    assert await served.stop() == 0


async def test_workers_do_not_outlive_their_supervisor(serve: Serve) -> None:
    served = await serve("--workers", "2")
    await served.until(lambda: len(served.said("worker started")) == 2)
    pids = [each["pid"] for each in served.said("worker started")]
    await served.stop(signal.SIGKILL)

    def gone() -> bool:
        return not any(Path(f"/proc/{pid}").exists() for pid in pids)

    await served.until(gone)
    assert gone()
