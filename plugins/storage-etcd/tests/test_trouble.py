"""What happens when etcd is gone, slow, elsewhere, or wants to know who we are."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import socket
import time

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest
import trustme

from dexcore_storage_etcd import SSL, Etcd, open_storage

from dexcore.errors import ConfigError
from dexcore.options import InvalidOption
from dexcore.storage import (
    Client,
    Collections,
    Storage,
    StorageUnavailable,
)
from dexcore.testing.cable import Cable


async def recovered(storage: Storage, within: float) -> None:
    until = time.monotonic() + within
    while True:
        try:
            return await storage.ping()
        except StorageUnavailable:
            assert time.monotonic() < until
            await asyncio.sleep(0.05)


async def increment(inside: Collections) -> None:
    await inside.clients.update("c", change=lambda old: attrs.evolve(old, name="x"))


# — Gone and back ----------------------------------------------------------------------


async def test_while_etcd_is_gone_every_call_is_refused_and_then_it_works_again(
    mortal: Any,
) -> None:
    storage = await open_storage(Etcd(endpoints=(mortal.url,)))
    await storage.clients.create(Client("c"))
    mortal.kill()
    started = time.monotonic()
    for attempt in (
        storage.clients.create(Client("d")),
        storage.clients.get("c"),
        storage.clients.find("c"),
        storage.clients.list(),
        storage.clients.update("c", change=lambda old: attrs.evolve(old, name="x")),
        storage.clients.take("c"),
        storage.clients.delete("c"),
        storage.unit(increment),
        storage.view(lambda inside: inside.clients.get("c")),
        storage.sweep(datetime.now(UTC)),
        storage.ping(),
    ):
        with pytest.raises(StorageUnavailable):
            await attempt
    # A refusal must not take as long as a wait would.
    assert time.monotonic() - started < 10
    mortal.start()
    await recovered(storage, 5)
    assert await storage.clients.list() == [Client("c")]
    await storage.unit(increment)
    assert (await storage.clients.get("c")).name == "x"
    await storage.close()


async def test_what_was_acknowledged_is_there_after_a_kill(mortal: Any) -> None:
    storage = await open_storage(Etcd(endpoints=(mortal.url,)))
    kept: set[str] = set()

    async def write(writer: int) -> None:
        number = 0
        while True:
            name = f"{writer}-{number}"
            await storage.clients.create(Client(name))
            kept.add(name)
            number += 1

    writers = [asyncio.create_task(write(one)) for one in range(10)]
    await asyncio.sleep(0.3)
    await asyncio.to_thread(mortal.kill)
    done = await asyncio.gather(*writers, return_exceptions=True)
    assert {type(one) for one in done} == {StorageUnavailable}
    await asyncio.to_thread(mortal.start)
    await recovered(storage, 5)
    stored = {client.id for client in await storage.clients.list()}
    assert len(kept) > 20
    assert kept <= stored
    # One more each at most: carried out, but the answer was lost.
    assert len(stored - kept) <= len(writers)
    await storage.close()


async def test_nothing_is_opened_where_nothing_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        config = Etcd(endpoints=(f"http://127.0.0.1:{unused.getsockname()[1]}",))
        with pytest.raises(StorageUnavailable, match="refused"):
            await open_storage(config)


async def test_a_record_too_large_for_etcd_is_refused_and_the_next_is_not(
    config: Etcd,
) -> None:
    storage = await open_storage(config)
    with pytest.raises(StorageUnavailable, match="too large"):
        await storage.clients.create(Client("c", name="x" * 2_000_000))
    await storage.clients.create(Client("c"))
    await storage.close()


async def test_no_space_is_a_refusal_until_there_is_some(
    start: Callable[..., Any],
) -> None:
    server = start("--quota-backend-bytes=2000000")
    storage = await open_storage(Etcd(endpoints=(server.url,)))

    async def fill() -> None:
        for number in range(100):
            await storage.clients.create(Client(f"{number}", name="x" * 100_000))

    with pytest.raises(StorageUnavailable, match="space"):
        await fill()
    stored = await storage.clients.list()
    assert stored
    for client in stored:
        await storage.clients.delete(client.id)
    revision = re.search(
        r'"revision":(\d+)', server.ctl("get", "x", "--write-out=json")
    )
    assert revision is not None
    server.ctl("compact", revision[1])
    server.ctl("defrag")
    server.ctl("alarm", "disarm")
    await storage.clients.create(Client("c"))
    await storage.close()


# — Several members --------------------------------------------------------------------


@pytest.fixture
def silent() -> Iterator[str]:
    """Somebody who takes connections and never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=100)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


async def test_the_member_that_answers_is_found_and_remembered(
    config: Etcd, silent: str
) -> None:
    dead = "http://127.0.0.1:1"
    endpoints = (dead, silent, *config.endpoints)
    storage = await open_storage(attrs.evolve(config, endpoints=endpoints))
    started = time.monotonic()
    for number in range(20):
        await storage.clients.create(Client(f"{number}"))
    assert time.monotonic() - started < 1
    await storage.close()


async def test_with_one_of_three_members_gone_everything_goes_on(
    cluster: list[Any],
) -> None:
    endpoints = tuple(member.url for member in cluster)
    storage = await open_storage(Etcd(endpoints=endpoints))
    await storage.clients.create(Client("c", name="0"))
    for victim in cluster[:2]:
        victim.kill()
        # It may have been the leader: the others need a second or two for a new one.
        await recovered(storage, 10)
        before = int((await storage.clients.get("c")).name)
        changed = await storage.clients.update(
            "c", change=lambda old: attrs.evolve(old, name=f"{int(old.name) + 1}")
        )
        assert int(changed.name) == before + 1
        await asyncio.to_thread(victim.start)
    await storage.close()


async def test_without_a_majority_calls_are_refused_in_time(
    cluster: list[Any],
) -> None:
    endpoints = tuple(member.url for member in cluster)
    storage = await open_storage(Etcd(endpoints=endpoints))
    for member in cluster[1:]:
        member.send(signal.SIGSTOP)
    started = time.monotonic()
    attempts = [
        *(storage.clients.get("c") for _ in range(20)),
        *(storage.clients.create(Client("c")) for _ in range(20)),
        *(storage.unit(increment) for _ in range(20)),
    ]
    done = await asyncio.gather(*attempts, return_exceptions=True)
    assert {type(one) for one in done} == {StorageUnavailable}
    assert time.monotonic() - started < 8
    for member in cluster[1:]:
        member.send(signal.SIGCONT)
    await recovered(storage, 20)
    await storage.close()


# — TLS --------------------------------------------------------------------------------


class Certificates:
    """An authority, etcd's certificate and ours, as files in *folder*."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.authority = folder / "ca.pem"
        authority.cert_pem.write_to_path(self.authority)
        self.server = self._write(authority.issue_cert("etcd.example"), folder / "s")
        self.client = self._write(authority.issue_cert("dexcore"), folder / "c")
        self.stranger = folder / "stranger.pem"
        trustme.CA().cert_pem.write_to_path(self.stranger)

    def _write(self, issued: trustme.LeafCert, path: Path) -> tuple[str, str]:
        certificate, key = f"{path}.pem", f"{path}.key"
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
        return certificate, key


async def test_tls_in_both_directions(
    start: Callable[..., Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = Certificates(tmp_path)
    certificate, key = files.server
    server = start(
        f"--cert-file={certificate}",
        f"--key-file={key}",
        f"--trusted-ca-file={files.authority}",
        "--client-cert-auth",
        scheme="https",
    )
    ours, our_key = files.client
    right = SSL("etcd.example", str(files.authority), our_key, ours)
    for endpoint in (server.url, f"127.0.0.1:{server.port}"):
        storage = await open_storage(Etcd(endpoints=(endpoint,), ssl=right))
        await storage.clients.create(Client(endpoint))
        assert (await storage.clients.get(endpoint)).id == endpoint
        await storage.close()
    for wrong in (
        attrs.evolve(right, server_name=""),
        attrs.evolve(right, ca_file=str(files.stranger)),
        attrs.evolve(right, key_file="", cert_file=""),
        SSL(),
    ):
        with pytest.raises(StorageUnavailable, match=f"{server.port}|failed"):
            await open_storage(Etcd(endpoints=(server.url,), ssl=wrong))
    # etcd refuses us, or we refuse it; either is said in the exception alone.
    assert not capfd.readouterr().err


async def test_new_certificates_are_noticed(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    files = Certificates(tmp_path)
    certificate, key = files.server
    server = start(
        f"--cert-file={certificate}",
        f"--key-file={key}",
        f"--trusted-ca-file={files.authority}",
        "--client-cert-auth",
        scheme="https",
    )
    ours, our_key = files.client
    ssl = SSL("etcd.example", str(files.authority), our_key, ours)
    storage = await open_storage(Etcd(endpoints=(server.url,), ssl=ssl))
    await storage.clients.create(Client("c"))
    server.kill()
    # The same files, from another authority.
    Certificates(tmp_path)
    server.start()
    await recovered(storage, 5)
    assert await storage.clients.get("c") == Client("c")
    await storage.close()


async def test_a_certificate_that_is_not_there_is_named() -> None:
    config = Etcd(endpoints=("https://127.0.0.1",), ssl=SSL(ca_file="/nowhere.pem"))
    with pytest.raises(ConfigError, match=r"ssl\.caFile.*nowhere"):
        await open_storage(config)


# — Who we are -------------------------------------------------------------------------


async def test_a_user_with_rights_on_the_namespace_is_enough(
    start: Callable[..., Any],
) -> None:
    server = start()
    config = Etcd((server.url,), "dex/", username="dexcore", password="secret")
    # Before authentication is switched on a password does no harm.
    storage = await open_storage(config)
    await storage.clients.create(Client("c", name="0"))
    server.ctl("user", "add", "root:root")
    server.ctl("user", "grant-role", "root", "root")
    server.ctl("role", "add", "dexcore")
    server.ctl("role", "grant-permission", "dexcore", "--prefix", "readwrite", "dex/")
    server.ctl("user", "add", "dexcore:secret")
    server.ctl("user", "grant-role", "dexcore", "dexcore")
    server.ctl("auth", "enable")

    async def count() -> None:
        await storage.clients.update(
            "c", change=lambda old: attrs.evolve(old, name=f"{int(old.name) + 1}")
        )

    await asyncio.gather(*(count() for _ in range(10)))
    # A restart makes all tokens worthless.
    server.kill()
    server.start()
    await recovered(storage, 5)
    await asyncio.gather(*(count() for _ in range(10)))
    # And so does, for a call, a change of anybody's rights.
    server.ctl("--user=root:root", "user", "add", "another:x")
    await count()
    assert (await storage.clients.take("c")).name == "21"
    await storage.close()
    for wrong in (
        attrs.evolve(config, password="wrong"),
        attrs.evolve(config, username="", password=""),
        attrs.evolve(config, namespace="other/"),
    ):
        with pytest.raises(StorageUnavailable):
            await open_storage(wrong)


# — What the file may say --------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "target", "tls"),
    [
        ("http://127.0.0.1:2379", "127.0.0.1:2379", False),
        ("https://etcd.example:2379/", "etcd.example:2379", True),
        ("etcd.example:4001", "etcd.example:4001", False),
        ("etcd.example", "etcd.example:2379", False),
        ("http://[::1]:2379", "[::1]:2379", False),
        ("unix:///run/etcd.sock", "unix:/run/etcd.sock", False),
        ("unixs://etcd.sock", "unix:etcd.sock", True),
    ],
)
def test_endpoints_are_what_dex_takes(endpoint: str, target: str, tls: bool) -> None:
    (address,) = Etcd(endpoints=(endpoint,)).addresses
    assert (address.target, address.tls) == (target, tls)


def test_an_endpoint_without_scheme_means_tls_if_there_are_certificates() -> None:
    (address,) = Etcd(("etcd.example",), ssl=SSL(ca_file="ca.pem")).addresses
    assert address.tls


@pytest.mark.parametrize(
    "endpoint", ["", "http://", "ftp://h", "http://h:port", "http://u@h", "http://h/x"]
)
def test_what_is_no_endpoint_is_named(endpoint: str) -> None:
    with pytest.raises(InvalidOption, match=re.escape(repr(endpoint))):
        Etcd(endpoints=(endpoint,))


def test_a_cluster_needs_an_endpoint_and_a_certificate_its_key() -> None:
    with pytest.raises(InvalidOption, match="no endpoint"):
        Etcd(endpoints=())
    with pytest.raises(InvalidOption, match="missing"):
        SSL(cert_file="c.pem")


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(Etcd(("h",), username="u", password="secret"))


# — Cut connections --------------------------------------------------------------------


class Wire:
    """A stretch of wire to *port* that can be cut while an answer is on its way."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self.cut_answers = False
        self.url = ""

    async def lay(self) -> None:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1")
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def remove(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        copies = [
            asyncio.create_task(self._copy(reader, back, False)),
            asyncio.create_task(self._copy(there, writer, True)),
        ]
        self._tasks.update(copies)
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        for one in (writer, back):
            one.close()

    async def _copy(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, answers: bool
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                if answers and self.cut_answers:
                    # Long enough for etcd to do what it was asked.
                    await asyncio.sleep(0.05)
                    return
                sink.write(data)
                await sink.drain()


async def test_what_may_have_been_done_is_not_done_again(
    config: Etcd, server: Any
) -> None:
    wire = Wire(server.port)
    await wire.lay()
    direct = await open_storage(config)
    cut = await open_storage(attrs.evolve(config, endpoints=(wire.url,)))
    done = 0
    for number in range(5):
        client = Client(f"{number}")
        for attempt in (
            lambda: cut.clients.create(client),  # noqa: B023
            lambda: cut.clients.take(client.id),  # noqa: B023
        ):
            before = await direct.clients.find(client.id)
            wire.cut_answers = True
            # Never that it is there already, or not any more.
            with pytest.raises(StorageUnavailable):
                await attempt()
            wire.cut_answers = False
            await recovered(cut, 5)
            done += before != await direct.clients.find(client.id)
    assert done > 0
    await cut.close()
    await direct.close()
    await wire.remove()


async def test_a_read_that_is_cut_is_asked_elsewhere(config: Etcd, server: Any) -> None:
    wire = Wire(server.port)
    await wire.lay()
    storage = await open_storage(
        attrs.evolve(config, endpoints=(wire.url, *config.endpoints))
    )
    await storage.clients.create(Client("c"))
    wire.cut_answers = True
    assert await storage.clients.get("c") == Client("c")
    await storage.close()
    await wire.remove()


# — Silence ----------------------------------------------------------------------------


async def test_a_connection_a_firewall_has_forgotten_costs_one_call(
    server: Any, namespace: str
) -> None:
    with Cable("127.0.0.1", server.port) as cable:
        url = f"http://{cable.host}:{cable.port}"
        storage = await open_storage(Etcd(endpoints=(url,), namespace=namespace))
        await storage.clients.create(Client("c"))
        cable.forget()
        with pytest.raises(StorageUnavailable):
            await storage.clients.get("c")
        assert await storage.clients.get("c") == Client("c")
        await storage.close()
