"""What we say about ourselves: one line per record, to standard error.

Text lines are logfmt (``time= level= msg= key=value``), JSON lines are objects with the
same keys.  Nobody who sends us a name with a line break in it can write a line of their
own: text is quoted, JSON is JSON.

Any code logs through :mod:`logging`.  Fields travel as ``extra={"fields": {...}}``;
while a request is under way every record also carries what :func:`bind` was given.
Records with ``extra={"buffered": True}`` (the access log, the audit log) may wait a
fifth of a second; whatever else is said goes out at once, after them.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import math
import re
import sys
import time

from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import datetime
from typing import Any, BinaryIO, NamedTuple

import orjson

from ..config.model import Logger
from ..errors import ConfigError

#: What every record says while a request is under way.
REQUEST: ContextVar[Mapping[str, Any]] = ContextVar("dexcore_request")

#: How long a buffered line may wait (seconds), and how much may wait together (bytes).
PATIENCE = 0.2
BUFFER = 64 * 1024

_LEVEL = re.compile(r"(DEBUG|INFO|WARN|ERROR)([+-]\d+)?", re.IGNORECASE)
_LEVELS = {"DEBUG": 10, "INFO": 20, "WARN": 30, "ERROR": 40}
_NAMES = {10: "DEBUG", 20: "INFO", 30: "WARN", 40: "ERROR", 50: "ERROR"}
_PLAIN = re.compile(r"[!#-<>-\[\]-~]+")
# Spaces and equals signs need quotes around them and nothing more.
_WORDS = re.compile(r"[ !#-\[\]-~]*")
_NOTHING: Mapping[str, Any] = {}


def bind(**fields: Any) -> None:
    """Let every record of this task, and of the tasks it starts, carry *fields*."""
    REQUEST.set(fields)


def level_of(text: str) -> int:
    """Return the :mod:`logging` level for ``INFO``, ``warn``, ``DEBUG+2`` ….

    A step of one is a fourth of the way to the next level.
    Raises :class:`~dexcore.errors.ConfigError`.
    """
    found = _LEVEL.fullmatch(text)
    if found is None:
        raise ConfigError(
            f'logger.level: "{text}" is not DEBUG, INFO, WARN or ERROR, '
            "with or without +n or -n."
        )
    return math.ceil(_LEVELS[found[1].upper()] + int(found[2] or 0) * 2.5)


def configure(options: Logger, stream: BinaryIO | None = None) -> Lines:
    """Send everything :mod:`logging` hears to *stream*, as *options* say.

    Without *stream* it is standard error.  Replaces what was configured before, and
    returns the handler; :meth:`Lines.flush` writes what still waits.
    Raises :class:`~dexcore.errors.ConfigError`.
    """
    level = level_of(options.level)
    lines = Lines(stream or _standard_error(), formatter(options))
    # What our records never show is not collected for them either.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    if sys.version_info >= (3, 12):
        logging.logAsyncioTasks = False
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, Lines)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(lines)
    root.setLevel(level)
    # asyncio and aiohttp tell at INFO and DEBUG what only their authors want to know.
    for noisy in ("asyncio", "aiohttp"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
    return lines


def formatter(options: Logger) -> _Formatter:
    """Return the formatter ``logger.format`` names."""
    formats: dict[str, Callable[[frozenset[str]], _Formatter]]
    formats = {"text": Text, "json": JSON, "": Text}
    try:
        chosen = formats[options.format.lower()]
    except KeyError:
        raise ConfigError(
            f'logger.format: "{options.format}" is neither text nor json.'
        ) from None
    return chosen(frozenset(options.exclude_fields))


class Lines(logging.Handler):
    """Writes lines; those that can wait are written together."""

    def __init__(self, stream: BinaryIO, formatter: _Formatter) -> None:
        super().__init__()
        self.stream = stream
        self.style = formatter
        self.setFormatter(formatter)
        self._waiting: list[str] = []
        self._lost = 0
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        atexit.register(self.flush)

    def emit(self, record: logging.LogRecord) -> None:
        """Write *record*, or let it wait."""
        try:
            line = self.format(record)
            self._waiting.append(line)
            self._size += len(line)
            if self._size >= BUFFER or not getattr(record, "buffered", False):
                self.flush()
            elif self._timer is None:
                self._wait()
        except Exception:
            self.handleError(record)

    def add(self, line: str) -> None:
        """Let a finished line wait with the others."""
        with self.lock:  # type: ignore[union-attr]  # made by Handler.__init__
            self._waiting.append(line)
            self._size += len(line)
        if self._size >= BUFFER:
            self.flush()
        elif self._timer is None:
            self._wait()

    def flush(self) -> None:
        """Write what waits."""
        with self.lock:  # type: ignore[union-attr]  # made by Handler.__init__
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            lines, self._waiting, self._size = self._waiting, [], 0
            if lines and not self.stream.closed:
                self._write(lines)

    def _write(self, lines: list[str]) -> None:
        if self._lost:
            lines = [self.format(_loss(self._lost)), *lines]
        rest = memoryview("".join(lines).encode("utf-8", "backslashreplace"))
        try:
            while rest:
                written = self.stream.write(rest)
                if not written:
                    raise BlockingIOError  # what reads us does not
                rest = rest[written:]
            self.stream.flush()
        except OSError:
            # A full disk or a closed pipe stops the log, not what is logged.
            self._lost += len(lines)
        else:
            self._lost = 0

    def close(self) -> None:
        """Write what waits, and write no more."""
        self.flush()
        atexit.unregister(self.flush)
        super().close()

    def _wait(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            self._timer = loop.call_later(PATIENCE, self.flush)


def _standard_error() -> BinaryIO:
    # Without its buffer: what could not be written would stay there, come later after
    # all, and at the end make the interpreter exit with 120.
    buffered = sys.stderr.buffer
    return getattr(buffered, "raw", buffered)


def _loss(lines: int) -> logging.LogRecord:
    """Return what is said once the log can be written again."""
    return logging.makeLogRecord(
        {
            "name": "dexcore.server",
            "levelno": logging.WARNING,
            "levelname": "WARNING",
            "msg": "the log could not be written",
            "fields": {"lost": lines},
        }
    )


class Access(NamedTuple):
    """One answered request, as the access log tells of it.  ``size`` in bytes.

    ``path`` is without the query, which carries codes, states and hints.
    """

    method: str
    path: str
    handler: str
    status: int
    seconds: float
    size: int
    request_id: str
    address: str

    def fields(self) -> dict[str, Any]:
        """Return it as fields of a record, those of :func:`bind` left out."""
        return {
            "method": self.method,
            "path": self.path,
            "handler": self.handler,
            "status": self.status,
            "seconds": round(self.seconds, 6),
            "bytes": self.size,
        }


def note(access: Access, level: int) -> None:
    """Write *access* to the access log.

    Every request comes here, so the usual line is made by hand: a record, its formatter
    and looking for the calling line cost as much as answering.
    """
    if not _access.isEnabledFor(level):
        return
    lines = _only_lines(_access)
    line = lines.style.access(access) if lines and level == logging.INFO else ""
    if lines and line:
        lines.add(line)
        return
    extra = {"fields": access.fields(), "buffered": True}
    _access.log(level, "request", extra=extra)


def tell(log: logging.Logger, message: str, fields: Mapping[str, Any]) -> None:
    """Write *message*, at INFO, buffered, without what a record costs.

    Like any record it carries what :func:`bind` was given.
    """
    if not log.isEnabledFor(logging.INFO):
        return
    lines = _only_lines(log)
    if lines:
        style = lines.style
        found = style.shown({**fields, **REQUEST.get(_NOTHING)})
        lines.add(style.line(time.time(), logging.INFO, message, found))
        return
    extra = {"fields": fields, "buffered": True}
    log.info("%s", message, extra=extra)


def _only_lines(log: logging.Logger) -> Lines | None:
    """Return our handler, if it is the only one that hears what *log* says."""
    handlers = log.root.handlers
    if len(handlers) == 1 and not log.handlers and isinstance(handlers[0], Lines):
        return handlers[0]
    return None


_access = logging.getLogger("dexcore.access")


class _Formatter(logging.Formatter):
    """What both formats share: the fields of a record and the time."""

    def __init__(self, excluded: frozenset[str]) -> None:
        super().__init__()
        self.excluded = excluded
        self._second = (-1, "")

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the record's own fields, what is bound, and the exception."""
        found: dict[str, Any] = {
            **getattr(record, "fields", _NOTHING),
            **REQUEST.get(_NOTHING),
        }
        if record.exc_info and record.exc_info[1] is not None:
            found.setdefault("err", _one_line(record.exc_info[1]))
            found["stack"] = self.formatException(record.exc_info)
        return self.shown(found)

    def shown(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return *fields* without the excluded ones."""
        if self.excluded:
            return {k: v for k, v in fields.items() if k not in self.excluded}
        return fields

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with its line break."""
        fields = self.fields(record)
        return self.line(record.created, record.levelno, record.getMessage(), fields)

    @abstractmethod
    def line(
        self, created: float, level: int, message: str, fields: Mapping[str, Any]
    ) -> str:
        """Return the line of any other event, with its line break."""

    def access(self, access: Access) -> str:
        """Return the line of the access log; "" if fields of it are excluded."""
        return "" if self.excluded else self.access_line(access)

    @abstractmethod
    def access_line(self, access: Access) -> str:
        """Return the line, with its line break."""

    def when(self, created: float) -> str:
        """Return a UTC time as RFC 3339 writes it, with milliseconds."""
        second = int(created)
        if self._second[0] != second:
            self._second = (
                second,
                time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)),
            )
        return f"{self._second[1]}.{int((created - second) * 1000):03d}Z"


class Text(_Formatter):
    """``time=… level=INFO msg="listening on" server=http``."""

    def access_line(self, access: Access) -> str:
        """Return the line, with its line break."""
        return (
            f"time={self.when(time.time())} level=INFO msg=request"
            f" method={quoted(access.method)} path={quoted(access.path)}"
            f" handler={access.handler} status={access.status}"
            f" seconds={access.seconds:.6f} bytes={access.size}"
            f" request_id={access.request_id} client_remote_addr={access.address}\n"
        )

    def line(
        self, created: float, level: int, message: str, fields: Mapping[str, Any]
    ) -> str:
        """Return the line, with its line break."""
        parts = [
            f"time={self.when(created)} level={_name(level)} msg={quoted(message)}"
        ]
        for key, value in fields.items():
            if isinstance(value, str):
                # The common case, spelled out: this runs for every request.
                plain = _PLAIN.fullmatch(value)
                parts.append(f"{key}={value if plain else quoted(value)}")
            else:
                _append(parts, key, value)
        return " ".join(parts) + "\n"


class JSON(_Formatter):
    """One object per line."""

    def access_line(self, access: Access) -> str:
        """Return the line, with its line break."""
        entry = {
            "time": self.when(time.time()),
            "level": "INFO",
            "msg": "request",
            **access.fields(),
            "request_id": access.request_id,
            "client_remote_addr": access.address,
        }
        return orjson.dumps(entry, option=_OPTIONS).decode()

    def line(
        self, created: float, level: int, message: str, fields: Mapping[str, Any]
    ) -> str:
        """Return the line, with its line break."""
        entry = {
            "time": self.when(created),
            "level": _name(level),
            "msg": message,
        }
        # A field cannot pretend to be the time, the level or the message.
        found = {**fields, **entry}
        entry.update(found)
        try:
            return orjson.dumps(entry, default=str, option=_OPTIONS).decode()
        except orjson.JSONEncodeError:
            # A lone surrogate, an integer over 64 bits: rare, so slow is good enough.
            return orjson.dumps(_printable(entry), option=_OPTIONS).decode()


_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS


def quoted(text: str) -> str:
    """Return *text* as a logfmt value: as it is, or in quotes with escapes."""
    if _PLAIN.fullmatch(text):
        return text
    if _WORDS.fullmatch(text):
        return f'"{text}"'
    if text and text.isprintable() and not set(text) & set(' ="\\'):
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escaped(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _append(parts: list[str], key: str, value: Any) -> None:
    if isinstance(value, str):
        parts.append(f"{_key(key)}={quoted(value)}")
    elif isinstance(value, Mapping):
        for inner, each in value.items():
            _append(parts, f"{key}.{inner}", each)
    else:
        parts.append(f"{_key(key)}={quoted(_text(value))}")


def _key(key: str) -> str:
    return key if _PLAIN.fullmatch(key) else quoted(key)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple, set, frozenset)):
        return "[" + " ".join(map(str, value)) + "]"
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


def _name(level: int) -> str:
    return _NAMES.get(level) or logging.getLevelName(level)


def _one_line(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _printable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(_printable(str(k))): _printable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_printable(each) for each in value]
    if value is None or isinstance(value, bool):
        return value
    return str(value).encode("utf-8", "backslashreplace").decode()
