"""The configured connectors: opened, kept open, and each behind a firewall.

One that cannot be opened is shown as temporarily unavailable and tried again, in the
background and by whoever asks for it after a pause; the others never notice.
"""

from __future__ import annotations

import asyncio
import logging
import random

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import attrs
import orjson

from ..config import structure
from ..connector import Connector, ConnectorContext
from ..errors import (
    ConfigError,
    DexcoreError,
    NotFound,
    PluginError,
    Refusal,
    StorageUnavailable,
    UpstreamError,
    UpstreamUnavailable,
)
from ..oauth2.times import utcnow
from ..options import InvalidOption
from ..passwords import Passwords
from ..plugins import Plugins
from ..storage import Collections
from ..storage import Connector as ConnectorRecord

T = TypeVar("T")

log = logging.getLogger("dexcore.connectors")

#: How long a connector may take to open or to answer, in seconds: browsers and the load
#: balancers before us wait for thirty.
DEADLINE = 15.0

#: How long the server waits at its start for slow connectors (seconds).
PATIENCE = 5.0

#: How long the list, and what we know of a stored connector, may be old (seconds).
FRESH = 5.0

#: The pauses between attempts to open a connector (seconds).
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0

_TICK = 1.0


@attrs.frozen
class Listed:
    """What the login page shows of a connector.  ``grant_types``: empty means all."""

    id: str
    name: str
    type: str
    grant_types: tuple[str, ...]
    available: bool


@attrs.frozen(eq=False)
class OpenConnector:
    """A connector that is open, and the record it was opened from."""

    record: ConnectorRecord
    connector: Connector


async def guarded(
    opened: OpenConnector, call: Awaitable[T], deadline: float = DEADLINE
) -> T:
    """Await *call*, a method of the connector, and let nothing unexpected out.

    Raises what connectors may raise (a ``Refusal``, an ``UpstreamError``),
    ``StorageUnavailable``, ``UpstreamUnavailable`` after *deadline* seconds, and
    ``UpstreamError`` for everything else, which is logged with its traceback.
    """
    id = opened.record.id
    try:
        async with asyncio.timeout(deadline):
            return await call
    except (Refusal, StorageUnavailable):
        raise
    except UpstreamError as error:
        error.connector_id = id
        raise
    except TimeoutError as error:
        failed: UpstreamError = UpstreamUnavailable(
            f"The connector {id!r} did not answer in time."
        )
        failed.connector_id = id
        raise failed from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise  # somebody wants us to stop, not the connector
        raise _unexpected(id, error) from error
    except (Exception, SystemExit) as error:
        raise _unexpected(id, error) from error


def _unexpected(id: str, error: BaseException) -> UpstreamError:
    fields = {"connector_id": id, "err": repr(error)}
    log.error("connector failed", extra={"fields": fields}, exc_info=error)
    failed = UpstreamError(f"The connector {id!r} failed: {error!r}")
    failed.connector_id = id
    return failed


@attrs.define(eq=False)
class _Slot:
    """The place of one connector: what we know of it, and the attempt to open it."""

    record: ConnectorRecord
    checked: float
    opened: OpenConnector | None = None
    failure: PluginError | None = None
    attempts: int = 0
    retry_at: float = 0.0
    attempt: asyncio.Task[None] | None = None

    @property
    def static(self) -> bool:
        """Whether the record comes from the file, which cannot change under us."""
        return not self.record.resource_version

    @property
    def hopeless(self) -> bool:
        """Whether only another configuration or installation can help."""
        return self.failure is not None and self.failure.stage != "open"


@attrs.define(eq=False)
class Connectors:
    """Opens connectors, lists them, and hands them out."""

    storage: Collections
    plugins: Plugins
    passwords: Passwords | None = None
    structure: Callable[..., Any] = structure
    deadline: float = DEADLINE
    now: Callable[[], datetime] = utcnow
    _slots: dict[str, _Slot] = attrs.field(factory=dict, init=False)
    _retired: list[tuple[float, Connector]] = attrs.field(factory=list, init=False)
    _records: tuple[ConnectorRecord, ...] = attrs.field(default=(), init=False)
    _some_stored: bool = attrs.field(default=False, init=False)
    _listed: tuple[Listed, ...] | None = attrs.field(default=None, init=False)
    _listed_at: float = attrs.field(default=-FRESH, init=False)
    _importing: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)

    @classmethod
    async def open(
        cls,
        storage: Collections,
        plugins: Plugins,
        *,
        continue_on_failure: bool = True,
        structure: Callable[..., Any] = structure,
        passwords: Passwords | None = None,
        patience: float = PATIENCE,
        deadline: float = DEADLINE,
        now: Callable[[], datetime] = utcnow,
    ) -> Connectors:
        """Open all connectors of *storage*, side by side, each within *deadline*.

        Those not open after *patience* seconds go on opening in the background.
        Raises ``ConfigError`` if there are none, if none of them can ever be opened,
        or, unless *continue_on_failure*, if one cannot.
        """
        self = cls(storage, plugins, passwords, structure, deadline, now)
        records = await storage.connectors.list()
        if not records:
            raise ConfigError("no connectors specified")
        slots = [self._place(record) for record in records]
        attempts = [self._attempt(slot) for slot in slots]
        await asyncio.wait(attempts, timeout=patience if continue_on_failure else None)
        failures = [slot for slot in slots if slot.failure is not None]
        if failures and not continue_on_failure:
            await self.close()
            raise ConfigError("failed to open connectors:\n" + _reasons(failures))
        if all(slot.hopeless for slot in slots):
            await self.close()
            raise ConfigError(
                f"failed to open all connectors ({len(slots)}/{len(slots)}):\n"
                + _reasons(failures)
            )
        return self

    async def listed(self) -> tuple[Listed, ...]:
        """Return all connectors, sorted by name.

        The list is read again when it is older than :data:`FRESH`, and each time if
        some connectors are in the storage rather than the file.
        """
        now = _clock()
        if self._some_stored or now - self._listed_at >= FRESH:
            await self._list(now)
        if self._listed is None:
            self._listed = tuple(self._shown(record) for record in self._records)
        return self._listed

    async def get(self, id: str) -> OpenConnector:
        """Return the connector *id*, opened from its record as it is now.

        Raises ``NotFound`` if there is none, and ``UpstreamUnavailable`` if it cannot
        be opened.
        """
        try:
            record = await self.storage.connectors.get(id)
        except NotFound:
            self._remove(id)
            raise
        slot = self._place(record)
        if slot.opened is None and not slot.hopeless and _clock() >= slot.retry_at:
            # A browser that hangs up does not stop the attempt others wait for.
            await asyncio.shield(self._attempt(slot))
            if self._slots.get(id) is not slot:
                return await self.get(id)  # the record changed meanwhile
        if slot.opened is not None:
            return slot.opened
        unavailable = UpstreamUnavailable(
            f"The connector {id!r} is temporarily unavailable: {slot.failure}"
        )
        unavailable.connector_id = id
        raise unavailable

    def peek(self, id: str) -> OpenConnector | None:
        """Return the connector *id* if it is open and we know its record is current."""
        slot = self._slots.get(id)
        if slot is None or not (slot.static or _clock() - slot.checked < FRESH):
            return None
        return slot.opened

    def type_of(self, id: str) -> str:
        """Return the type of the connector *id*, "" if nobody has asked for it yet."""
        slot = self._slots.get(id)
        return "" if slot is None else slot.record.type

    def states(self) -> Mapping[str, str]:
        """Return, by connector id, why it could not be opened, or "" if it is open."""
        return {
            id: "" if slot.opened else str(slot.failure or "It is being opened.")
            for id, slot in sorted(self._slots.items())
        }

    async def run(self) -> None:
        """Try failed connectors again, with growing pauses, until cancelled."""
        while True:
            await asyncio.sleep(_TICK)
            now = _clock()
            for slot in list(self._slots.values()):
                due = slot.failure is not None and now >= slot.retry_at
                if due and slot.attempt is None and not slot.hopeless:
                    self._attempt(slot)
            done = [each for until, each in self._retired if now >= until]
            self._retired = [each for each in self._retired if now < each[0]]
            await _close(done)

    async def close(self) -> None:
        """Close all connectors."""
        attempts = [s.attempt for s in self._slots.values() if s.attempt is not None]
        for attempt in attempts:
            attempt.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)
        for id in list(self._slots):
            self._remove(id)
        await _close(each for _, each in self._retired)
        self._retired.clear()

    # — what we know -------------------------------------------------------------------

    def _place(self, record: ConnectorRecord) -> _Slot:
        """Return the slot for *record*; a new one if type or configuration changed."""
        slot = self._slots.get(record.id)
        if slot is None or not _same(slot.record, record):
            self._remove(record.id)
            slot = self._slots[record.id] = _Slot(record, _clock())
            return slot
        slot.checked = _clock()
        if slot.record is not record:
            slot.record = record
            if slot.opened is not None:
                slot.opened = OpenConnector(record, slot.opened.connector)
        return slot

    def _remove(self, id: str) -> None:
        slot = self._slots.pop(id, None)
        if slot is not None and slot.opened is not None:
            # Requests that hold it have that long to finish.
            self._retired.append((_clock() + DEADLINE, slot.opened.connector))

    async def _list(self, now: float) -> None:
        try:
            records = await self.storage.connectors.list()
        except StorageUnavailable:
            if not self._records:
                raise
            records = list(self._records)  # a page that is a little old helps more
        records.sort(key=lambda record: record.name.lower())
        self._records, self._listed_at = tuple(records), now
        self._some_stored = any(record.resource_version for record in records)
        self._listed = None

    def _shown(self, record: ConnectorRecord) -> Listed:
        slot = self._slots.get(record.id)
        failed = slot is not None and slot.opened is None and slot.failure is not None
        return Listed(
            record.id, record.name, record.type, record.grant_types, not failed
        )

    # — opening ------------------------------------------------------------------------

    def _attempt(self, slot: _Slot) -> asyncio.Task[None]:
        """Return the one attempt that opens *slot* just now.  It never raises."""
        if slot.attempt is None:
            name = f"open connector {slot.record.id}"
            slot.attempt = asyncio.create_task(self._try(slot), name=name)
        return slot.attempt

    async def _try(self, slot: _Slot) -> None:
        try:
            connector = await self._open(slot.record)
        except PluginError as error:
            self._failed(slot, error)
        else:
            self._succeeded(slot, connector)
        finally:
            slot.attempt = None
            self._listed = None

    def _succeeded(self, slot: _Slot, connector: Connector) -> None:
        if self._slots.get(slot.record.id) is not slot:
            self._retired.append((_clock(), connector))  # it changed meanwhile
            return
        slot.opened = OpenConnector(slot.record, connector)
        if slot.failure is not None:
            fields = {"connector_id": slot.record.id}
            log.info("connector is available again", extra={"fields": fields})
        slot.failure, slot.attempts = None, 0

    def _failed(self, slot: _Slot, error: PluginError) -> None:
        if slot.attempts == 0 or str(error) != str(slot.failure):
            fields = {"connector_id": slot.record.id, "err": str(error)}
            known = isinstance(error.__cause__, (DexcoreError, OSError, type(None)))
            log.error(
                "connector failed to open",
                extra={"fields": fields},
                exc_info=None if known else error.__cause__,
            )
        pause = min(FIRST_PAUSE * 2**slot.attempts, LONGEST_PAUSE)
        slot.failure = error
        slot.attempts = min(slot.attempts + 1, 16)
        # Replicas that started together should not knock together.
        slot.retry_at = _clock() + pause * random.uniform(0.75, 1.0)  # noqa: S311

    async def _open(self, record: ConnectorRecord) -> Connector:
        """Return the connector *record* describes; raise ``PluginError``."""
        async with self._importing:
            # An import takes long, and the loop has others to serve.
            kind = await asyncio.to_thread(self.plugins.connector_type, record.type)
        stage = "config"
        try:
            where = f"connector {record.id!r}"
            options = self.structure(_options(record), kind.config, where=where)
            stage = "open"
            context = ConnectorContext(
                record.id,
                self.storage,
                logging.getLogger(f"dexcore.connector.{record.type}"),
                self.passwords,
                now=self.now,
            )
            async with asyncio.timeout(self.deadline):
                connector = await kind.open(options, context)
        except TimeoutError as error:
            raise self._blame(record, stage, error, "It took too long.") from error
        except (ConfigError, InvalidOption) as error:
            raise self._blame(record, "config", error) from error
        except (Exception, SystemExit) as error:
            raise self._blame(record, stage, error) from error
        if not isinstance(connector, Connector):
            cause = f"Its opener returned {connector!r}, which is no Connector."
            raise self.plugins.failed("connector", record.type, "offer", cause)
        return connector

    def _blame(
        self, record: ConnectorRecord, stage: str, cause: BaseException, why: str = ""
    ) -> PluginError:
        return self.plugins.failed("connector", record.type, stage, why or cause)


def _same(one: ConnectorRecord, other: ConnectorRecord) -> bool:
    """Return whether both open the same; versions start again with recreated rows."""
    return one is other or (one.type == other.type and one.config == other.config)


def _options(record: ConnectorRecord) -> dict[str, Any]:
    document = orjson.loads(record.config or b"{}")
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError("The config is no object.")
    return document


def _reasons(slots: Iterable[_Slot]) -> str:
    return "\n".join(f"- {slot.record.id}: {slot.failure}" for slot in slots)


async def _close(connectors: Iterable[Connector]) -> None:
    for connector in connectors:
        try:
            async with asyncio.timeout(DEADLINE):
                await connector.close()
        except (Exception, SystemExit):
            log.exception("connector failed to close")


def _clock() -> float:
    return asyncio.get_running_loop().time()
