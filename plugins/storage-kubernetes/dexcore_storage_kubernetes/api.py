"""The API server over HTTP: deadlines, retries, and errors in our words."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Coroutine,
    Iterator,
    Mapping,
)
from typing import Any, Literal, TypeVar

import aiohttp
import attrs
import orjson

from dexcore.storage import StorageError, StorageUnavailable

from .access import Cluster
from .connections import Connections
from .resources import GROUP, VERSION, Resource

T = TypeVar("T")
Method = Literal["GET", "POST", "PUT", "DELETE"]

DEADLINE = 15.0  # seconds one call may take, with all its attempts; dex's own
PAGE = 500  # objects in one answer: about half a megabyte

_AT_ONCE = 64  # requests: what more there are would wait in the API server
_GRACE = 10.0  # seconds the server may be late when it should end a watch
_READS_AGAIN = 3  # times, after an answer of 5xx or none


@attrs.frozen
class Answer:
    """What the server answered.  ``body`` is JSON, unless a proxy wrote it."""

    status: int
    body: bytes = attrs.field(repr=False)

    def json(self) -> Mapping[str, Any]:
        """Return the document, empty if it is none."""
        try:
            document = orjson.loads(self.body)
        except ValueError:
            return {}
        return document if isinstance(document, dict) else {}

    @property
    def missing(self) -> bool:
        """Whether the object is not there; 404 without a reason is another thing."""
        return self.status == 404 and bool(
            self.json().get("reason") == "NotFound"
            and (self.json().get("details") or {}).get("name")
        )


class Api:
    """Calls one API server.

    Every call ends within *deadline* seconds.  An answer of 429 was not worked on, so
    any call is made again when the server says; reads are also made again after 5xx and
    broken connections.  What a broken write did is not known: it is never repeated.
    """

    def __init__(self, cluster: Cluster, deadline: float = DEADLINE) -> None:
        self.deadline = deadline
        self.namespace = cluster.namespace
        self.requests = 0
        self._cluster = cluster
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.closed = False
        self._connections = Connections()

    def path(self, resource: Resource[Any], name: str = "") -> str:
        """Return the path of all objects of *resource*, or of the one called *name*."""
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{self.namespace}/{resource.plural}"
        return f"{path}/{name}" if name else path

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Keep the connections open meanwhile; raise once they are closed."""
        if self.closed:
            raise StorageUnavailable("The storage is closed.")
        self._busy += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()

    async def call(
        self,
        method: Method,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Return the server's answer; raise ``StorageUnavailable`` if there is none.

        Answers that mean "not now" (429, 5xx) or "who are you" (401, 403) raise it too.
        """
        over = time.monotonic() + self.deadline
        failures = 0
        while True:
            try:
                return await self._once(method, path, query, body, over)
            except _Again as again:
                failures += again.counts
                if failures > _READS_AGAIN or time.monotonic() + again.pause > over:
                    raise again.trouble from again.__cause__
                pause = again.pause
            await asyncio.sleep(pause)

    async def pages(
        self, resource: Resource[Any]
    ) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
        """Yield the objects of *resource*, page by page, with their version.

        Raises ``Gone`` when the server no longer has the version of the first page.
        """
        query = {"limit": str(PAGE)}
        while True:
            answer = await self.call("GET", self.path(resource), query)
            if answer.status == 410:
                raise Gone
            if answer.status != 200:
                raise unavailable(answer)
            body = answer.json()
            metadata = body.get("metadata") or {}
            yield str(metadata.get("resourceVersion", "")), body.get("items") or []
            query["continue"] = metadata.get("continue") or ""
            if not query["continue"]:
                return

    async def watch(
        self, resource: Resource[Any], version: str, seconds: int
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        """Yield what happens to *resource* after *version*, for so many seconds.

        The first event is empty: the server has answered, and the rest will follow.
        Raises ``Gone`` if *version* is too old, and whatever the connection raises.
        """
        query = {
            "watch": "1",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
        }
        limits = aiohttp.ClientTimeout(
            total=seconds + _GRACE, sock_connect=DEADLINE, sock_read=seconds + _GRACE
        )
        async with await self._request(
            "GET", self.path(resource), query, None, limits
        ) as response:
            if response.status == 410:
                raise Gone
            if response.status != 200:
                raise unavailable(Answer(response.status, await response.read()))
            yield {}
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield orjson.loads(line)

    async def close(self) -> None:
        """Wait for what has been asked, then close the connections."""
        self.closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * DEADLINE):
                await self._idle.wait()
        await self._connections.close()

    async def _once(
        self,
        method: Method,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes | None,
        over: float,
    ) -> Answer:
        """Return the answer; raise ``_Again`` where the call may be made again."""
        limits = aiohttp.ClientTimeout(total=DEADLINE)
        asked = self._connections.current
        try:
            async with (
                asyncio.timeout(over - time.monotonic()),
                self._slots,
                await self._request(method, path, query, body, limits) as response,
            ):
                answer = Answer(response.status, await response.read())
        except TimeoutError as error:
            self._connections.renew(asked)
            raise self._too_late() from error
        except (aiohttp.ClientError, OSError) as error:
            # Where there was no connection nothing was asked.
            if method != "GET" and not isinstance(error, aiohttp.ClientConnectorError):
                raise _unreachable(error) from error
            raise _Again(_unreachable(error)) from error
        if answer.status == 429:
            wait = _seconds(response.headers.get("Retry-After", "1"))
            raise _Again(unavailable(answer), pause=wait, counts=0)
        if answer.status == 401 and self._cluster.authorization.forget():
            raise _Again(unavailable(answer), counts=_READS_AGAIN)
        if answer.status >= 500 and method == "GET":
            raise _Again(unavailable(answer))
        if answer.status >= 500 or answer.status in (401, 403):
            raise unavailable(answer)
        return answer

    def _too_late(self) -> StorageUnavailable:
        return StorageUnavailable(f"Kubernetes did not answer in {self.deadline:g} s.")

    async def _request(
        self,
        method: Method,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes | None,
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        self.requests += 1
        cluster = self._cluster
        headers = {"Content-Type": "application/json"} if body is not None else {}
        header = await cluster.authorization.get()
        if header:
            headers["Authorization"] = header
        return await self._connections.current.request(
            method,
            f"{cluster.server}{path}",
            params=query,
            data=body,
            headers=headers,
            timeout=limits,
            ssl=cluster.tls if cluster.tls is not None else True,
            server_hostname=cluster.server_name,
            proxy=cluster.proxy,
            # Whoever redirects is not an API server.
            allow_redirects=False,
        )


async def together(*work: Coroutine[Any, Any, T]) -> list[T]:
    """Do all of *work* at once; when one of it fails, leave off and raise."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Again(Exception):
    """The call failed in a way that allows to make it again after a pause."""

    def __init__(
        self, trouble: StorageUnavailable, *, pause: float = 0.0, counts: int = 1
    ) -> None:
        super().__init__()
        self.trouble = trouble
        self.pause = pause or random.uniform(0.05, 0.3)  # noqa: S311 - no secret
        self.counts = counts


class Gone(Exception):
    """The server no longer has the version that was asked for: list again."""


def unavailable(answer: Answer) -> StorageUnavailable:
    """Return what to raise for an answer that is no answer."""
    return StorageUnavailable(f"Kubernetes answered {answer.status}: {message(answer)}")


def refused(answer: Answer) -> StorageError:
    """Return what to raise for an answer to a write that did not happen."""
    if answer.status in (400, 413, 422):
        return StorageError(f"Kubernetes refuses the record: {message(answer)}")
    return unavailable(answer)


def message(answer: Answer) -> str:
    """Return what the server says, in one line."""
    text = answer.json().get("message") or answer.body[:200].decode(errors="replace")
    return str(text).strip()


def _unreachable(error: Exception) -> StorageUnavailable:
    return StorageUnavailable(f"Kubernetes cannot be reached: {error}")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 1.0
    # Jitter, so that all who were sent away do not come back at the same moment.
    return max(seconds, 0.0) * random.uniform(1.0, 1.2)  # noqa: S311 - no secret
