"""An API server in memory, for tests: custom resources, and nothing else.

::

    async with ApiServer() as server:
        storage = await open_cluster(server.cluster(), "ensure", StorageContext())

It does what the real one does with versions, preconditions, pages, watches and
definitions, down to its refusals; what it does not have are other resources, schemas
and permissions.  The methods after ``stop`` make it misbehave.
"""

from __future__ import annotations

import asyncio
import bisect
import collections
import itertools
import ssl
import time
import uuid

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import attrs
import orjson

from aiohttp import web

from .access import Authorization, Cluster
from .names import is_name

_OBJECTS = "/apis/{group}/{version}/namespaces/{namespace}/{plural}"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

Body = Mapping[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Where = tuple[str, str, str]  # group, plural, namespace


@attrs.define
class _Journal:
    """What happened to the objects of one kind in one namespace, oldest first."""

    versions: list[int] = attrs.field(factory=list)
    lines: list[bytes] = attrs.field(factory=list)
    news: asyncio.Condition = attrs.field(factory=asyncio.Condition)

    def after(self, version: int) -> bytes:
        return b"".join(self.lines[bisect.bisect_right(self.versions, version) :])


@attrs.define
class _Trouble:
    """Something that happens to the next requests that it is for."""

    count: int
    method: str
    path: str
    happens: Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]

    def is_for(self, request: web.Request) -> bool:
        return self.method in ("", request.method) and self.path in request.path_qs


class ApiServer:
    """An API server.

    ``settle`` is how many seconds a new definition takes, ``bookmarks`` how many are
    between two bookmarks of a watch on which nothing happens.
    """

    def __init__(
        self,
        settle: float = 0.0,
        bookmarks: float = 60.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.url = ""
        self.requests: list[tuple[str, str]] = []
        self.token: str | None = None
        self._settle = settle
        self._tls = tls
        self._bookmarks = bookmarks
        self._versions = itertools.count(100)
        self._version = 99
        self._oldest = 0
        self._definitions: dict[str, float] = {}
        self._objects: dict[Where, dict[str, Body]] = {}
        self._snapshots: dict[str, list[Body]] = {}
        self._journals: dict[Where, _Journal] = collections.defaultdict(_Journal)
        self._troubles: list[_Trouble] = []
        self._watching: set[asyncio.Transport] = set()
        self._runner: web.AppRunner | None = None
        self._port = 0

    async def __aenter__(self) -> ApiServer:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen on a free port of the loopback interface, the same one each time."""
        application = web.Application(middlewares=[self._middleware])
        routes = application.router
        routes.add_post(_DEFINITIONS, self._define)
        routes.add_get(_OBJECTS, self._list)
        routes.add_post(_OBJECTS, self._create)
        routes.add_get(f"{_OBJECTS}/{{name}}", self._get)
        routes.add_put(f"{_OBJECTS}/{{name}}", self._put)
        routes.add_delete(f"{_OBJECTS}/{{name}}", self._delete)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            shutdown_timeout=0.1,
            handler_cancellation=True,
        )
        await self._runner.setup()
        site = web.TCPSite(
            self._runner,
            "127.0.0.1",
            self._port,
            ssl_context=self._tls,
            reuse_address=True,
        )
        await site.start()
        self._port = self._runner.addresses[0][1]
        scheme = "http" if self._tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Stop listening and cut all connections; what is stored stays."""
        if self._runner is not None:
            self.cut_watches()
            await self._runner.cleanup()
            self._runner = None

    def cluster(self, namespace: str = "default") -> Cluster:
        """Return how a storage reaches this server."""
        header = f"Bearer {self.token}" if self.token else ""
        return Cluster(self.url, namespace, Authorization(header))

    def answer(
        self,
        status: int,
        *,
        times: int = 1,
        method: str = "",
        path: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer the next requests with *status* instead of working on them."""

        async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
            return _failure(status, "Trouble", headers=headers)

        self._troubles.append(_Trouble(times, method, path, refuse))

    def cut(self, *, times: int = 1, method: str = "", path: str = "") -> None:
        """Work on the next requests, but cut the connection instead of answering."""

        async def work_and_cut(
            request: web.Request, handler: Handler
        ) -> web.StreamResponse:
            response = await handler(request)
            if request.transport is not None:
                request.transport.abort()
            return response

        self._troubles.append(_Trouble(times, method, path, work_and_cut))

    def hang(self, *, times: int = 1, method: str = "", path: str = "") -> None:
        """Never answer the next requests."""

        async def wait(request: web.Request, handler: Handler) -> web.StreamResponse:
            await asyncio.Event().wait()
            return await handler(request)

        self._troubles.append(_Trouble(times, method, path, wait))

    def recover(self) -> None:
        """Forget what :meth:`answer`, :meth:`cut` and :meth:`hang` still had to do."""
        self._troubles.clear()

    def cut_watches(self) -> None:
        """Cut the connection of everybody who watches."""
        for transport in self._watching:
            transport.abort()

    def compact(self) -> None:
        """Forget every version but the present one."""
        self._snapshots.clear()
        for journal in self._journals.values():
            journal.versions.clear()
            journal.lines.clear()
        self._oldest = self._version

    async def apply(self, plural: str, body: Body, namespace: str = "default") -> None:
        """Store an object as somebody else would, new or changed."""
        group = str(body["apiVersion"]).partition("/")[0]
        where = group, plural, namespace
        known = self._objects.get(where, {}).get(body["metadata"]["name"])
        kept = known["metadata"] if known else _new_metadata(namespace)
        metadata = {**kept, **body["metadata"]}
        type = "MODIFIED" if known else "ADDED"
        await self._write(where, type, {**body, "metadata": metadata})

    async def remove(
        self, group: str, plural: str, name: str, namespace: str = "default"
    ) -> None:
        """Remove an object as somebody else would."""
        where = group, plural, namespace
        await self._write(where, "DELETED", self._objects[where][name])

    def objects(self, plural: str, namespace: str = "default") -> dict[str, Body]:
        """Return the objects as they are stored, by name."""
        found = {
            name: body
            for where, bodies in self._objects.items()
            if where[1:] == (plural, namespace)
            for name, body in bodies.items()
        }
        return dict(sorted(found.items()))

    @property
    def definitions(self) -> list[str]:
        """The names of the definitions."""
        return sorted(self._definitions)

    # — misbehaviour -------------------------------------------------------------------

    @web.middleware
    async def _middleware(
        self, request: web.Request, handler: Any
    ) -> web.StreamResponse:
        self.requests.append((request.method, request.path_qs))
        given = request.headers.get("Authorization")
        if self.token and given != f"Bearer {self.token}":
            return _failure(401, "Unauthorized")
        trouble = next((one for one in self._troubles if one.is_for(request)), None)
        if trouble is None:
            try:
                response: web.StreamResponse = await handler(request)
            except web.HTTPNotFound:
                return _unknown()
            return response
        trouble.count -= 1
        if not trouble.count:
            self._troubles.remove(trouble)
        return await trouble.happens(request, handler)

    # — definitions --------------------------------------------------------------------

    async def _define(self, request: web.Request) -> web.Response:
        body = await request.json()
        name = body["metadata"]["name"]
        if name in self._definitions:
            return _failure(409, "AlreadyExists", name=name)
        self._definitions[name] = time.monotonic() + self._settle
        return _json(body, 201)

    def _where(self, request: web.Request) -> Where:
        """Return what a path is about; raise while it is not defined and ready."""
        path = request.match_info
        ready = self._definitions.get(f"{path['plural']}.{path['group']}")
        now = time.monotonic()
        if ready is None or now < ready - self._settle / 2:
            raise _Refused(_unknown())
        if now < ready:
            raise _Refused(
                _failure(
                    429,
                    "TooManyRequests",
                    "storage is (re)initializing",
                    headers={"Retry-After": "1"},
                )
            )
        return path["group"], path["plural"], path["namespace"]

    # — objects ------------------------------------------------------------------------

    async def _create(self, request: web.Request) -> web.Response:
        try:
            where = self._where(request)
        except _Refused as refused:
            return refused.response
        body = await request.json()
        name = (body.get("metadata") or {}).get("name", "")
        if body.get("apiVersion") != "/".join(
            (request.match_info["group"], request.match_info["version"])
        ):
            return _failure(400, "BadRequest", "the API version does not match")
        if not is_name(name):
            return _failure(422, "Invalid", f"{name!r} is not a DNS subdomain")
        if body["metadata"].get("resourceVersion"):
            return _failure(500, "InternalError", "resourceVersion should not be set")
        objects = self._objects.setdefault(where, {})
        if name in objects:
            return _failure(409, "AlreadyExists", name=name)
        given = {**body["metadata"], **_new_metadata(where[2])}
        stored = await self._write(where, "ADDED", {**body, "metadata": given})
        return _json(stored, 201)

    async def _get(self, request: web.Request) -> web.Response:
        return await self._with(request, self._found)

    async def _put(self, request: web.Request) -> web.Response:
        return await self._with(request, self._replaced)

    async def _delete(self, request: web.Request) -> web.Response:
        return await self._with(request, self._deleted)

    async def _with(self, request: web.Request, work: Any) -> web.Response:
        try:
            where = self._where(request)
        except _Refused as refused:
            return refused.response
        sent = orjson.loads(await request.read() or b"{}")
        name = request.match_info["name"]
        known = self._objects.get(where, {}).get(name)
        if known is None:
            return _failure(404, "NotFound", name=name)
        response: web.Response = await work(where, known, sent)
        return response

    async def _found(self, where: Where, known: Body, sent: Body) -> web.Response:
        return _json(known)

    async def _replaced(self, where: Where, known: Body, sent: Body) -> web.Response:
        old, new = known["metadata"], sent.get("metadata") or {}
        if new.get("name") != old["name"]:
            return _failure(400, "BadRequest", "the name does not match the URL")
        if not new.get("resourceVersion"):
            return _failure(422, "Invalid", "resourceVersion must be specified")
        if new.get("uid", old["uid"]) != old["uid"]:
            return _failure(409, "Conflict", "the UID does not match", name=old["name"])
        if new["resourceVersion"] != old["resourceVersion"]:
            return _failure(409, "Conflict", "the object has been modified")
        kept = {key: old[key] for key in ("uid", "creationTimestamp", "namespace")}
        body = {**sent, "metadata": {**new, **kept, "generation": old["generation"]}}
        if body == known:
            return _json(known)  # as it is: no new version
        return _json(await self._write(where, "MODIFIED", body))

    async def _deleted(self, where: Where, known: Body, sent: Body) -> web.Response:
        metadata = known["metadata"]
        for key, wanted in (sent.get("preconditions") or {}).items():
            if metadata[key] != wanted:
                return _failure(409, "Conflict", f"precondition failed: {key}")
        await self._write(where, "DELETED", known)
        details = {"name": metadata["name"], "uid": metadata["uid"]}
        return _json({**_STATUS, "status": "Success", "details": details})

    async def _write(self, where: Where, type: str, body: Body) -> Body:
        self._version = next(self._versions)
        metadata = {**body["metadata"], "resourceVersion": str(self._version)}
        body = {**body, "metadata": metadata}
        objects = self._objects.setdefault(where, {})
        if type == "DELETED":
            del objects[metadata["name"]]
        else:
            objects[metadata["name"]] = body
        journal = self._journals[where]
        journal.versions.append(self._version)
        journal.lines.append(_line(type, body))
        async with journal.news:
            journal.news.notify_all()
        return body

    # — lists and watches --------------------------------------------------------------

    async def _list(self, request: web.Request) -> web.StreamResponse:
        try:
            where = self._where(request)
        except _Refused as refused:
            return refused.response
        if request.query.get("watch") in ("1", "true"):
            return await self._watch(request, where)
        limit = int(request.query.get("limit", 0)) or None
        token = request.query.get("continue")
        if token:
            version = token.partition(":")[0]
            items = self._snapshots.pop(token, None)
            if items is None:
                return _failure(410, "Expired", "the continue token is too old")
        else:
            version = str(self._version)
            items = [body for _, body in sorted(self._objects.get(where, {}).items())]
        metadata: dict[str, Any] = {"resourceVersion": version}
        if limit is not None and len(items) > limit:
            further = f"{version}:{uuid.uuid4()}"
            self._snapshots[further] = items[limit:]
            metadata["continue"] = further
            metadata["remainingItemCount"] = len(items) - limit
        return _json({"kind": "List", "metadata": metadata, "items": items[:limit]})

    async def _watch(self, request: web.Request, where: Where) -> web.StreamResponse:
        version = int(request.query.get("resourceVersion") or self._version)
        over = time.monotonic() + float(request.query.get("timeoutSeconds", 1800))
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if version < self._oldest:
            await response.write(_line("ERROR", _status(410, "Expired")))
            return response
        transport = request.transport
        assert transport is not None  # noqa: S101 - it has just been written to
        self._watching.add(transport)
        try:
            while (left := over - time.monotonic()) > 0:
                version = await self._send_news(
                    response, where, version, min(left, self._bookmarks)
                )
        finally:
            self._watching.discard(transport)
        return response

    async def _send_news(
        self, response: web.StreamResponse, where: Where, version: int, seconds: float
    ) -> int:
        journal = self._journals[where]
        try:
            async with asyncio.timeout(seconds), journal.news:
                await journal.news.wait_for(lambda: journal.after(version))
        except TimeoutError:
            metadata = {"resourceVersion": str(self._version)}
            await response.write(_line("BOOKMARK", {"metadata": metadata}))
            return self._version
        lines, newest = journal.after(version), self._version
        await response.write(lines)
        return newest


class _Refused(Exception):
    def __init__(self, response: web.Response) -> None:
        super().__init__()
        self.response = response


_STATUS = {"kind": "Status", "apiVersion": "v1", "metadata": {}}


def _new_metadata(namespace: str) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "uid": str(uuid.uuid4()),
        "creationTimestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "generation": 1,
    }


def _json(document: Body, status: int = 200) -> web.Response:
    # Go sorts the members of what it knows nothing about.
    body = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    return web.Response(body=body, status=status, content_type="application/json")


def _failure(
    status: int,
    reason: str,
    message: str = "",
    *,
    name: str = "",
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    response = _json(_status(status, reason, message, name), status)
    response.headers.update(headers or {})
    return response


def _status(status: int, reason: str, message: str = "", name: str = "") -> Body:
    return {
        **_STATUS,
        "status": "Failure",
        "message": message or f"{name} {reason}".strip(),
        "reason": reason,
        "details": {"name": name} if name else {},
        "code": status,
    }


def _unknown() -> web.Response:
    return web.Response(text="404 page not found\n", status=404)


def _line(type: str, body: Body) -> bytes:
    event = {"type": type, "object": body}
    return orjson.dumps(event, option=orjson.OPT_SORT_KEYS) + b"\n"
