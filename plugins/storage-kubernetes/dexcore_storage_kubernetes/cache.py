"""A copy of all objects of one resource, kept up to date by a watch."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import aiohttp

from dexcore.storage import StorageError

from .api import Api, Gone
from .documents import Documents, Stored
from .resources import Resource

R = TypeVar("R")
Body = Mapping[str, Any]

#: Seconds the copy counts after the watch broke; then every read asks the server.
TRUSTED = 3.0

_WATCH = 60  # seconds of one watch; a connection that died is noticed by then
_SHORTEST = 1.0  # seconds a watch lasts if all is well
_SLOWEST = 10.0  # seconds between two attempts to watch

_NONSENSE = (KeyError, TypeError, ValueError)
_BROKEN = (aiohttp.ClientError, OSError, StorageError, *_NONSENSE)


class Cache(Generic[R]):
    """All objects of one resource, by name.

    What this process writes is in it at once (:meth:`put`, :meth:`drop`); what others
    write, as soon as the server tells.
    """

    def __init__(
        self,
        api: Api,
        resource: Resource[R],
        documents: Documents[R],
        log: logging.Logger,
    ) -> None:
        self._api = api
        self._resource = resource
        self._documents = documents
        self._log = log
        self._bodies: dict[str, Body] = {}
        self._read: dict[str, Stored[R]] = {}
        self._dropped: set[str] = set()
        self._version = ""
        self._good_until = 0.0
        self._watching = False

    @property
    def fresh(self) -> bool:
        """Whether this is what the server has, give or take what is on the way."""
        return self._watching or time.monotonic() < self._good_until

    def get(self, name: str) -> Stored[R] | None:
        """Return the record of the object called *name*, or ``None``."""
        stored = self._read.get(name)
        if stored is None and name in self._bodies:
            stored = self._read[name] = self._documents.read(self._bodies[name])
        return stored

    def all(self) -> list[Stored[R]]:
        """Return all records, in no order."""
        return [stored for name in [*self._bodies] if (stored := self.get(name))]

    def put(self, body: Body) -> None:
        """Take in an object as it is now, unless something newer is here."""
        metadata = body["metadata"]
        name, uid = metadata["name"], metadata.get("uid")
        if uid in self._dropped:
            return
        if metadata.get("deletionTimestamp"):
            self._forget(name)
            return
        known = self._bodies.get(name)
        if known is None or _version(known) < _version(body):
            self._bodies[name] = body
            self._read.pop(name, None)

    def drop(self, stored: Stored[R]) -> None:
        """Forget an object this process has deleted."""
        # News of it may still be on the way: they must not bring it back.
        if stored.name in self._bodies:
            self._dropped.add(stored.uid)
        self._forget_uid(stored.name, stored.uid)

    async def fill(self) -> None:
        """Read everything, once; raise ``StorageUnavailable``."""
        version, seen = "", {}
        async for listed, items in self._api.pages(self._resource):
            version = listed
            seen.update({body["metadata"]["name"]: body for body in items})
        for name, body in [*self._bodies.items()]:
            # What was written here while the list was on its way is not in it.
            if name not in seen and _version(body) <= int(version or 0):
                self._forget(name)
        for body in seen.values():
            self.put(body)
        self._dropped &= {body["metadata"].get("uid") for body in seen.values()}
        self._version = version
        self._trust()

    async def run(self) -> None:
        """Keep up with the server until the connections are closed."""
        failures = 0
        while not self._api.closed:
            started = time.monotonic()
            try:
                if not self._version:
                    await self.fill()
                await self._watch()
            except Gone:
                self._version = ""
            except _BROKEN as error:
                self._version = "" if isinstance(error, _NONSENSE) else self._version
                if not failures and not self._api.closed:
                    plural = self._resource.plural
                    self._log.warning("the watch of %s broke: %s", plural, error)
            # A watch that ends at once, whoever ends it, is not begun again at once.
            lasted = time.monotonic() - started > _SHORTEST
            failures = 0 if lasted else failures + 1
            if failures:
                await asyncio.sleep(_pause(failures))

    async def _watch(self) -> None:
        events = self._api.watch(self._resource, self._version, _WATCH)
        try:
            async with contextlib.aclosing(events):
                async for event in events:
                    if event:
                        self._take_in(event)
                    self._watching = True
        finally:
            if self._watching:
                self._trust()
            self._watching = False

    def _take_in(self, event: Mapping[str, Any]) -> None:
        body = event["object"]
        if event["type"] == "ERROR":
            if body.get("code") == 410:
                raise Gone
            raise StorageError(str(body.get("message")))
        metadata = body["metadata"]
        self._version = str(metadata["resourceVersion"])
        if event["type"] in ("ADDED", "MODIFIED"):
            self.put(body)
        elif event["type"] == "DELETED":
            self._dropped.discard(metadata.get("uid"))
            self._forget_uid(metadata["name"], metadata.get("uid"))

    def _trust(self) -> None:
        self._good_until = time.monotonic() + TRUSTED

    def _forget_uid(self, name: str, uid: Any) -> None:
        known = self._bodies.get(name)
        if known is not None and known["metadata"].get("uid") == uid:
            self._forget(name)

    def _forget(self, name: str) -> None:
        self._bodies.pop(name, None)
        self._read.pop(name, None)


def _version(body: Body) -> int:
    # Since Kubernetes 1.35 versions are promised to be numbers that grow; they
    # always were.
    return int(body["metadata"]["resourceVersion"])


def _pause(failures: int) -> float:
    longest = min(_SLOWEST, 0.1 * 2 ** min(failures, 10))
    return random.uniform(longest / 2, longest)  # noqa: S311 - no secret
