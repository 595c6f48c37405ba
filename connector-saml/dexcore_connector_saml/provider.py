"""The identity provider as we know it now: from the file, or from its metadata."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

import attrs

from cryptography import x509

from dexcore.connector import ConnectorContext
from dexcore.errors import UpstreamError, UpstreamUnavailable
from dexcore.http import TLS, HttpClient
from dexcore.options import InvalidOption

from .certificates import parse_certificates
from .config import Saml
from .metadata import ProviderMetadata, read_metadata
from .signatures import Signers
from .workers import Workers
from .xml import METADATA_RULES, Rejected

__all__ = ["Provider", "ProviderSource", "open_provider"]

#: How soon after one attempt the next may be made (seconds): whoever sends us responses
#: with wrong signatures makes us ask for new keys.
_PAUSE = 60.0


@attrs.frozen
class Provider:
    """Where logins begin, who answers, and whose signatures count (``None``: any)."""

    sso_url: str
    issuers: frozenset[str]
    signers: Signers | None


class ProviderSource(ABC):
    """Knows the provider."""

    @abstractmethod
    async def current(self) -> Provider:
        """Return the provider; raise ``UpstreamError`` if nothing is known now."""

    async def renewed(self, known: Provider) -> Provider | None:
        """Return a provider with other keys than *known*, if there is one by now."""
        return None

    async def close(self) -> None:
        """Let go of connections."""


@attrs.frozen
class Pinned(ProviderSource):
    """What the configuration says, for good."""

    provider: Provider

    async def current(self) -> Provider:
        """Return it."""
        return self.provider


@attrs.define(eq=False)
class FromMetadata(ProviderSource):
    """What metadata says, read again now and then.

    While it cannot be read, what it said before goes on until its ``validUntil``.
    """

    config: Saml
    read: Callable[[], Awaitable[bytes]]
    shut: Callable[[], Awaitable[None]]
    signers: Signers | None
    workers: Workers
    log: logging.Logger
    now: Callable[[], datetime]
    clock: Callable[[], float] = time.monotonic
    _metadata: ProviderMetadata | None = attrs.field(default=None, init=False)
    _read_at: float = attrs.field(default=0.0, init=False)
    _tried_at: float | None = attrs.field(default=None, init=False)
    _reading: asyncio.Task[None] | None = attrs.field(default=None, init=False)

    async def load(self) -> None:
        """Read the metadata; raise ``UpstreamError``."""
        self._tried_at = self.clock()
        data = await self.read()
        try:
            metadata = await self.workers.run(
                read_metadata,
                data,
                entity_id=self.config.sso_issuer,
                signers=self.signers,
                now=self.now(),
            )
        except Rejected as error:
            raise UpstreamError(f"The metadata cannot be used: {error}.") from None
        if not (self.config.sso_url or metadata.sso_url):
            raise UpstreamError(
                "The metadata does not offer the POST binding. Name ssoURL."
            )
        self._metadata = metadata
        self._read_at = self.clock()

    async def current(self) -> Provider:
        """Return the provider; the metadata is read again beside, when it is time."""
        if self._is_due():
            self._begin()
        if self._has_ended() and self._reading is not None:
            await asyncio.shield(self._reading)
        if self._metadata is None or self._has_ended():
            raise UpstreamUnavailable("The metadata is no longer valid.")
        return self._provider(self._metadata)

    async def renewed(self, known: Provider) -> Provider | None:
        """Read the metadata once more, if that has not just been done."""
        if self._may_try():
            self._begin()
        if self._reading is not None:
            await asyncio.shield(self._reading)
        provider = await self.current()
        return None if provider.signers == known.signers else provider

    async def close(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
        await self.shut()

    def _provider(self, metadata: ProviderMetadata) -> Provider:
        skip = self.config.insecure_skip_signature_validation
        signers = Signers(metadata.certificates, self.config.insecure_allow_sha1)
        return Provider(
            self.config.sso_url or metadata.sso_url,
            frozenset({metadata.entity_id}),
            None if skip else signers,
        )

    def _is_due(self) -> bool:
        pause = self.config.idp_metadata_refresh
        if self._metadata is not None and self._metadata.cache_for is not None:
            pause = min(pause, self._metadata.cache_for)
        old = self.clock() - self._read_at >= max(pause.total_seconds(), _PAUSE)
        return (old or self._has_ended()) and self._may_try()

    def _has_ended(self) -> bool:
        ends = self._metadata.valid_until if self._metadata is not None else None
        return ends is not None and ends < self.now()

    def _may_try(self) -> bool:
        recently = self._tried_at is not None and (
            self.clock() - self._tried_at < _PAUSE
        )
        return self._reading is None and not recently

    def _begin(self) -> None:
        self._reading = asyncio.create_task(self._try())

    async def _try(self) -> None:
        before = self._metadata
        try:
            await self.load()
        except UpstreamError as error:
            self.log.warning(
                "SAML metadata not renewed", extra={"fields": {"err": str(error)}}
            )
        finally:
            self._reading = None
        if before is not None and self._metadata is not before:
            self._tell_changes(before)

    def _tell_changes(self, before: ProviderMetadata) -> None:
        now = self._metadata
        if now is not None and now.certificates != before.certificates:
            self.log.warning(
                "SAML identity provider has other keys",
                extra={"fields": {"entity_id": now.entity_id}},
            )


async def open_provider(
    config: Saml,
    workers: Workers,
    context: ConnectorContext,
    now: Callable[[], datetime],
) -> ProviderSource:
    """Return what knows the provider that *config* describes.

    Raises ``InvalidOption`` for files that cannot be read, and ``UpstreamError`` if
    the metadata cannot be.
    """
    if config.has_metadata:
        read, shut = _reader(config, context.timeout)
        signers = None
        if config.idp_metadata_cert:
            pem = await _read(config.idp_metadata_cert, "idpMetadataCert")
            signers = Signers(_certificates(pem, "idpMetadataCert"))
        source = FromMetadata(config, read, shut, signers, workers, context.log, now)
        try:
            await source.load()
        except BaseException:
            await source.close()
            raise
        return source
    signers = None
    if not config.insecure_skip_signature_validation:
        pems = [*config.inline_certificates()]
        for path in config.ca_files:
            pems.append(await _read(path, "ca"))
        found = [each for pem in pems for each in _certificates(pem, "ca")]
        signers = Signers(tuple(found), config.insecure_allow_sha1)
    issuers = frozenset({config.sso_issuer} - {""})
    return Pinned(Provider(config.sso_url, issuers, signers))


def _reader(
    config: Saml, timeout: float
) -> tuple[Callable[[], Awaitable[bytes]], Callable[[], Awaitable[None]]]:
    if config.idp_metadata_file:
        path = Path(config.idp_metadata_file)

        async def from_file() -> bytes:
            try:
                return await asyncio.to_thread(path.read_bytes)
            except OSError as error:
                raise UpstreamError(f"The metadata cannot be read: {error}.") from None

        async def nothing() -> None:
            """Leave nothing open."""

        return from_file, nothing
    roots = (config.idp_metadata_root_ca,) if config.idp_metadata_root_ca else ()
    client = HttpClient(
        TLS(root_cas=roots), timeout=timeout, limit=METADATA_RULES.bytes
    )

    async def from_web() -> bytes:
        return (await client.get(config.idp_metadata_url)).check().body

    return from_web, client.close


async def _read(path: str, key: str) -> str:
    try:
        return await asyncio.to_thread(Path(path).read_text, "utf-8", "replace")
    except OSError as error:
        raise InvalidOption(
            f'{key} "{path}" cannot be read: {error.strerror}',
            key=key,
            remedy="Name a PEM file that the server may read.",
        ) from None


def _certificates(pem: str, key: str) -> tuple[x509.Certificate, ...]:
    try:
        return parse_certificates(pem)
    except ValueError as error:
        raise InvalidOption(
            f"the certificates of {key} cannot be used: {error}",
            key=key,
            remedy="They have to be PEM, of the keys the provider signs with.",
        ) from None
