"""HTTPS before and after a certificate changes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trustme

from dexcore.config.model import Config, Web
from dexcore.errors import ConfigError
from dexcore.server.connections import Limits
from dexcore.server.listen import parse_address
from dexcore.server.run import Serving, serving
from dexcore.server.tls import Certificates

#: asyncio may drop the connection before the client has read why.
REFUSED = (ssl.SSLError, ConnectionResetError)


@attrs.frozen
class Files:
    """A folder with a certificate and its key, as an operator keeps them."""

    folder: Path
    ca: trustme.CA

    @property
    def web(self) -> Web:
        cert, key = self.folder / "tls.crt", self.folder / "tls.key"
        return Web(https="127.0.0.1:0", tls_cert=str(cert), tls_key=str(key))

    def write(self, *, cert: bool = True, key: bool = True) -> None:
        """Replace the files by a fresh pair, or by one half of it."""
        issued = self.ca.issue_cert("127.0.0.1", "localhost")
        chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
        if cert:
            (self.folder / "tls.crt").write_bytes(chain)
        if key:
            (self.folder / "tls.key").write_bytes(issued.private_key_pem.bytes())


@pytest.fixture
def files(tmp_path: Path) -> Files:
    found = Files(tmp_path, trustme.CA())
    found.write()
    return found


@pytest.fixture
async def running(
    small: type[Any], config: Config, files: Files
) -> AsyncIterator[Serving]:
    secure = attrs.evolve(config, web=files.web)
    async with serving(secure, small().open) as found:
        yield found


async def serial(
    running: Serving, files: Files, context: ssl.SSLContext | None = None, **sni: str
) -> str:
    """Return the serial number of the certificate a handshake shows."""
    if context is None:
        context = ssl.create_default_context()
        files.ca.configure_trust(context)
    host, port = parse_address(running.listeners["https"].bound, "")
    reader, writer = await asyncio.open_connection(host, port, ssl=context, **sni)
    shown = writer.get_extra_info("peercert")
    writer.write(b"GET /dex HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).endswith(b"hello")
    writer.close()
    return str(shown["serialNumber"]) if shown else ""


def anything(files: Files, minimum: int, maximum: int) -> ssl.SSLContext:
    """A client that would speak any version and any cipher."""
    context = ssl.create_default_context()
    files.ca.configure_trust(context)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion(minimum)
    context.maximum_version = ssl.TLSVersion(maximum)
    return context


@pytest.mark.parametrize("name", [{}, {"server_hostname": "localhost"}])
async def test_sighup_shows_new_handshakes_the_new_certificate(
    running: Serving, files: Files, name: dict[str, str]
) -> None:
    before = await serial(running, files, **name)
    files.write()
    assert await serial(running, files, **name) == before
    running.reload()
    after = await serial(running, files, **name)
    assert after != before
    assert await serial(running, files, **name) == after


async def test_a_connection_survives_a_new_certificate(
    running: Serving, files: Files
) -> None:
    context = ssl.create_default_context()
    files.ca.configure_trust(context)
    host, port = parse_address(running.listeners["https"].bound, "")
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    files.write()
    running.reload()
    writer.write(b"GET /dex HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await reader.readuntil(b"hello")
    writer.close()


@pytest.mark.parametrize("spoil", ["half", "key", "rubbish", "empty", "gone"])
async def test_a_bad_new_certificate_keeps_the_old_one_and_is_logged(
    running: Serving, files: Files, spoil: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = await serial(running, files)
    cert = files.folder / "tls.crt"
    if spoil == "half":
        files.write(key=False)
    elif spoil == "key":
        files.write(cert=False)
    elif spoil == "gone":
        cert.unlink()
    else:
        cert.write_bytes(b"rubbish" if spoil == "rubbish" else b"")
    running.reload()
    assert await serial(running, files) == before
    assert "the new certificate cannot be used" in caplog.text
    files.write()
    running.reload()
    assert await serial(running, files) not in ("", before)


def chosen(certificates: Certificates) -> ssl.SSLContext:
    return certificates._current


def test_a_changed_file_is_noticed_without_a_signal(files: Files) -> None:
    web = files.web
    certificates = Certificates.of(web)
    first = chosen(certificates)
    certificates.reload_if_changed()
    assert chosen(certificates) is first
    files.write()
    certificates.reload_if_changed()
    assert chosen(certificates) is not first


def test_a_swapped_link_is_noticed_as_kubernetes_does_it(
    files: Files, tmp_path: Path
) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        Files(tmp_path / name, files.ca).write()
    (tmp_path / "data").symlink_to("old")
    certificates = Certificates.of(Files(tmp_path / "data", files.ca).web)
    first = chosen(certificates)
    (tmp_path / "fresh").symlink_to("new")
    os.replace(tmp_path / "fresh", tmp_path / "data")
    certificates.reload_if_changed()
    assert chosen(certificates) is not first


def test_a_bad_certificate_is_an_error_at_start_and_one_line_later(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    certificates = Certificates.of(files.web)
    files.write(key=False)
    for _ in range(3):
        certificates.reload_if_changed()
    assert len(caplog.records) == 1
    with pytest.raises(ConfigError, match="KEY_VALUES_MISMATCH"):
        Certificates.of(files.web)
    with pytest.raises(ConfigError, match="No such file"):
        Certificates.of(attrs.evolve(files.web, tls_cert="/no/such/file"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("reloaded", [False, True])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_old_versions_are_refused_before_and_after_a_reload(
    running: Serving, files: Files, version: ssl.TLSVersion, reloaded: bool
) -> None:
    if reloaded:
        files.write()
        running.reload()
    with pytest.raises(REFUSED):
        await serial(running, files, anything(files, version, version))


@pytest.mark.parametrize("reloaded", [False, True])
@pytest.mark.parametrize(
    "cipher", ["ECDHE-ECDSA-AES256-SHA", "ECDHE-ECDSA-AES128-SHA256"]
)
async def test_weak_ciphers_are_refused_before_and_after_a_reload(
    running: Serving, files: Files, cipher: str, reloaded: bool
) -> None:
    if reloaded:
        files.write()
        running.reload()
    only = ssl.TLSVersion.TLSv1_2
    context = anything(files, only, only)
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:@SECLEVEL=0")
    assert await serial(running, files, context)
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    with pytest.raises(REFUSED):
        await serial(running, files, context)


@pytest.mark.parametrize(
    ("limits", "version", "served"),
    [
        ({}, ssl.TLSVersion.TLSv1_2, True),
        ({}, ssl.TLSVersion.TLSv1_3, True),
        ({"tls_min_version": "1.3"}, ssl.TLSVersion.TLSv1_2, False),
        ({"tls_min_version": "1.3"}, ssl.TLSVersion.TLSv1_3, True),
        ({"tls_max_version": "1.2"}, ssl.TLSVersion.TLSv1_3, False),
        ({"tls_max_version": "1.2"}, ssl.TLSVersion.TLSv1_2, True),
    ],
)
@pytest.mark.parametrize("reloaded", [False, True])
async def test_versions_are_those_of_the_file(
    small: type[Any],
    config: Config,
    files: Files,
    limits: dict[str, str],
    version: ssl.TLSVersion,
    served: bool,
    reloaded: bool,
) -> None:
    web = attrs.evolve(files.web, **limits)
    async with serving(attrs.evolve(config, web=web), small().open) as running:
        if reloaded:
            files.write()
            running.reload()
        asking = serial(running, files, anything(files, version, version))
        if served:
            assert await asking
        else:
            with pytest.raises(REFUSED):
                await asking


async def test_a_handshake_that_is_never_finished_ends(
    small: type[Any], config: Config, files: Files
) -> None:
    secure = attrs.evolve(config, web=files.web)
    limits = Limits(handshake_seconds=0.1)
    async with serving(secure, small().open, limits=limits) as running:
        host, port = parse_address(running.listeners["https"].bound, "")
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"\x16\x03\x01")
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        assert await serial(running, files)


async def test_only_http_1_is_offered(running: Serving, files: Files) -> None:
    context = ssl.create_default_context()
    files.ca.configure_trust(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    host, port = parse_address(running.listeners["https"].bound, "")
    _, writer = await asyncio.open_connection(host, port, ssl=context)
    chosen = writer.get_extra_info("ssl_object").selected_alpn_protocol()
    assert chosen == "http/1.1"
    writer.close()


async def test_sighup_without_a_certificate_does_nothing(
    small: type[Any], config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with serving(config, small().open) as running:
        running.reload()
    assert "nothing to reload" in caplog.text
