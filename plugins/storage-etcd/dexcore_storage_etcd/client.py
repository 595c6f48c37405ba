"""The cluster: its members, who we are there, and errors in our words.

The only module that knows gRPC.  A call goes to the member that answered last; if it
cannot be reached, to the next.  A call that may have been carried out is not made
again, unless that is harmless.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl

from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import attrs

# gRPC writes every failed handshake on standard error, between the lines of our log;
# what it has to say comes with the exception.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]

from dexcore.errors import ConfigError
from dexcore.storage import StorageUnavailable

from . import wire
from .config import SSL, Address, Etcd

_DIAL = 2.0  # seconds until a member counts as unreachable; the same as dex's
_MOMENT = 0.05  # seconds; why there is no connection is known, or will not be soon
_TIMEOUT = 5.0  # seconds for a call, wherever it goes; the same as dex's

_RANGE = "/etcdserverpb.KV/Range"
_TRANSACTION = "/etcdserverpb.KV/Txn"
_LEASE_GRANT = "/etcdserverpb.Lease/LeaseGrant"
_AUTHENTICATE = "/etcdserverpb.Auth/Authenticate"

_OPTIONS = [
    # A member that comes back is noticed within a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.min_reconnect_backoff_ms", int(_DIAL * 1000)),
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    # One that is cut off, too; etcd closes connections that ask more often.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3000),
    ("grpc.http2.ping_timeout_ms", 3000),  # a minute, whatever the one above says
    # A page of records can be large; etcd limits what comes in.
    ("grpc.max_receive_message_length", -1),
    # dex's client takes no proxy either.
    ("grpc.enable_http_proxy", 0),
    # Storages that are closed take their connections with them.
    ("grpc.use_local_subchannel_pool", 1),
]


class Compacted(StorageUnavailable):
    """The revision that was being read is gone: start again."""


class LeaseLost(StorageUnavailable):
    """The lease a record was to go with is gone: take another."""


class Client:
    """What we ask of etcd.  Whatever fails is ``StorageUnavailable``."""

    def __init__(self, config: Etcd) -> None:
        self._members = [_Member(one, config.ssl) for one in config.addresses]
        self._good = 0
        self._pass = _Pass(config.username, config.password)

    async def range(
        self, key: bytes, *, end: bytes = b"", limit: int = 0, revision: int = 0
    ) -> wire.Range:
        """Return what *key* holds, or the keys from it to *end*."""
        request = wire.range_request(key, end=end, limit=limit, revision=revision)
        return wire.read_range(await self._call(_RANGE, request, harmless=True))

    async def transact(
        self, request: bytes, *, harmless: bool = False
    ) -> wire.Transaction:
        """Carry out a transaction; *harmless*: it may be done twice."""
        answer = await self._call(_TRANSACTION, request, harmless=harmless)
        return wire.read_transaction(answer)

    async def grant(self, seconds: int) -> int:
        """Return a new lease."""
        request = wire.lease_grant(seconds)
        return wire.read_lease(await self._call(_LEASE_GRANT, request, harmless=True))

    async def close(self) -> None:
        """Close all connections; calls under way fail."""
        await asyncio.gather(*(member.close() for member in self._members))

    async def _call(self, method: str, request: bytes, *, harmless: bool) -> bytes:
        failure: StorageUnavailable | None = None
        clock = asyncio.get_running_loop().time
        deadline = clock() + _TIMEOUT
        for number, member in self._in_order():
            if not await member.reachable(deadline):
                await member.renew()
                continue
            channel = member.channel
            try:
                answer = await self._pass.through(member, method, request, deadline)
            except grpc.aio.AioRpcError as error:
                failure = _refusal(error)
                failure.__cause__ = error
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    # Somebody else may be able to answer, but no time is left to ask.
                    self._good = (number + 1) % len(self._members)
                    # Nor on this connection, if a firewall has forgotten it.
                    member.replace(channel)
                if not (harmless and error.code() is grpc.StatusCode.UNAVAILABLE):
                    raise failure from error
            else:
                self._good = number
                return answer
        raise failure or await self._unreachable()

    async def _unreachable(self) -> StorageUnavailable:
        reasons = [await member.trouble() for member in self._members]
        return StorageUnavailable(f"No etcd can be reached: {'; '.join(reasons)}")

    def _in_order(self) -> Iterator[tuple[int, _Member]]:
        first, count = self._good, len(self._members)
        for number in range(first, first + count):
            yield number % count, self._members[number % count]


class _Member:
    """One etcd, with the connection to it."""

    def __init__(self, address: Address, ssl: SSL) -> None:
        self._target = address.target
        self._ssl = ssl if address.tls else None
        self._change: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._files = _files(ssl) if address.tls else None
        self._open()

    def _open(self) -> None:
        if self._ssl is None or self._files is None:
            self._channel = grpc.aio.insecure_channel(self._target, _OPTIONS)
        else:
            credentials = grpc.ssl_channel_credentials(*attrs.astuple(self._files))
            name = self._ssl.server_name
            named = [("grpc.ssl_target_name_override", name)] if name else []
            self._channel = grpc.aio.secure_channel(
                self._target, credentials, [*_OPTIONS, *named]
            )
        self._calls = {
            method: self._channel.unary_unary(method)
            for method in (_RANGE, _TRANSACTION, _LEASE_GRANT, _AUTHENTICATE)
        }

    @property
    def channel(self) -> Any:
        """The connection there is."""
        return self._channel

    def replace(self, silent: Any) -> None:
        """Take another connection, unless *silent* has been replaced already."""
        if silent is not self._channel:
            return
        old = self._channel
        self._open()
        # Other calls may be answered yet.
        self._end(old.close(grace=_TIMEOUT))
        if self._change is not None:
            self._end(self._change)
            self._change = None

    def _end(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def reachable(self, deadline: float) -> bool:
        """Connect if need be; return whether there is a connection in time."""
        loop = asyncio.get_running_loop()
        deadline = min(deadline, loop.time() + _DIAL)
        while (
            state := self._channel.get_state(try_to_connect=True)
        ) is not grpc.ChannelConnectivity.READY:
            left = deadline - loop.time()
            if left <= 0 or state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                return False
            await asyncio.wait([self._changed(state)], timeout=left)
        return deadline > loop.time()

    async def renew(self) -> None:
        """Use the certificates that are in the files now: they may be new."""
        if self._ssl is None:
            return
        with contextlib.suppress(ConfigError):  # being replaced at this moment
            files = _files(self._ssl)
            if files != self._files:
                old, self._files = self._channel, files
                self._open()
                await old.close(grace=1)  # so that nobody's call is cancelled

    async def trouble(self) -> str:
        """Return why there is no connection: gRPC says it to whoever calls."""
        try:
            await self._calls[_RANGE](wire.range_request(b"\0"), timeout=_MOMENT)
        except grpc.aio.AioRpcError as error:
            return f"{self._target}: {error.details()}"
        return f"{self._target}: it answers again"

    async def call(
        self, method: str, request: bytes, token: str, deadline: float
    ) -> bytes:
        """Return the answer; raise what gRPC raises."""
        metadata = (("token", token),) if token else ()
        left = deadline - asyncio.get_running_loop().time()
        answer: bytes = await self._calls[method](
            request, timeout=max(left, 0), metadata=metadata
        )
        return answer

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()
        tasks = {*self._ending, *([self._change] if self._change else [])}
        if tasks:
            await asyncio.wait(tasks)

    def _changed(self, state: grpc.ChannelConnectivity) -> asyncio.Task[None]:
        # One watcher for all who wait; it is never cancelled, it ends with the channel.
        if self._change is None or self._change.done():
            self._change = asyncio.create_task(self._watch(state))
        return self._change

    async def _watch(self, state: grpc.ChannelConnectivity) -> None:
        try:
            await self._channel.wait_for_state_change(state)
        except Exception:  # gRPC raises a bare Exception when the channel closes
            return


class _Pass:
    """Our name and password, and the token etcd gives for them."""

    def __init__(self, username: str, password: str) -> None:
        self._username = username
        self._request = wire.authenticate(username, password)
        self._token: str | None = None if username else ""
        self._asking: asyncio.Task[str] | None = None

    async def through(
        self, member: _Member, method: str, request: bytes, deadline: float
    ) -> bytes:
        """Call *member* with a token; if it is refused, once more with a new one."""
        token = self._token
        if token is None:
            token = await self._ask(member, deadline)
        try:
            return await member.call(method, request, token, deadline)
        except grpc.aio.AioRpcError as error:
            if not self._username or not _token_is_refused(error):
                raise
        if self._token == token:
            self._token = None
        token = self._token or await self._ask(member, deadline)
        return await member.call(method, request, token, deadline)

    async def _ask(self, member: _Member, deadline: float) -> str:
        # etcd hashes the password each time: ask once for all who wait.
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._fetch(member, deadline))
        return await asyncio.shield(self._asking)

    async def _fetch(self, member: _Member, deadline: float) -> str:
        try:
            answer = await member.call(_AUTHENTICATE, self._request, "", deadline)
        except grpc.aio.AioRpcError as error:
            if "authentication is not enabled" not in (error.details() or ""):
                raise
            self._token = ""
        else:
            self._token = wire.read_token(answer)
        return self._token


def _token_is_refused(error: grpc.aio.AioRpcError) -> bool:
    # etcd says both INVALID_ARGUMENT and UNAUTHENTICATED; whoever comes without a token
    # after somebody switched authentication on has an empty user name.
    details = error.details() or ""
    return error.code() is grpc.StatusCode.UNAUTHENTICATED or any(
        sentence in details
        for sentence in ("user name is empty", "revision of auth store is old")
    )


def _refusal(error: grpc.aio.AioRpcError) -> StorageUnavailable:
    details = error.details() or ""
    text = f"etcd failed: {details} ({error.code().name})"
    if "required revision has been compacted" in details:
        return Compacted(text)
    if "requested lease not found" in details:
        return LeaseLost(text)
    return StorageUnavailable(text)


# — Certificates -----------------------------------------------------------------------


@attrs.frozen
class _Files:
    authorities: bytes | None
    key: bytes | None
    certificate: bytes | None


def _files(ssl: SSL) -> _Files:
    return _Files(
        _read("caFile", ssl.ca_file) or _usual_authorities(),
        _read("keyFile", ssl.key_file),
        _read("certFile", ssl.cert_file),
    )


def _read(key: str, path: str) -> bytes | None:
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"storage.config.ssl.{key}: {error}.") from error


def _usual_authorities() -> bytes | None:
    # gRPC would take the list it brings along instead of the system's.
    path = ssl.get_default_verify_paths().cafile
    return Path(path).read_bytes() if path else None
