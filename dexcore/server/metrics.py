"""What we count: dex's metric names, labels and buckets, for Prometheus.

A request costs one look-up and a few additions; the families are made when somebody
asks.  With several worker processes each writes its numbers to a file of its own every
second, and whichever is asked adds up the files.  A worker that starts again goes on
from its predecessor's file, so that a counter never falls.

Counting needs nothing of prometheus_client, which brings a web server of its own: it is
imported when somebody asks.
"""

from __future__ import annotations

import asyncio
import platform

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import attrs
import orjson

from aiohttp import web

from .. import __version__

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric, ProcessCollector
    from prometheus_client.registry import Collector

SECONDS = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BYTES = (200.0, 500.0, 900.0, 1500.0)

#: Where workers leave their numbers, and which of them this one is.
FOLDER = "DEXCORE_WORKERS_DIR"
SLOT = "DEXCORE_WORKER"

#: How often a worker writes its numbers (seconds).
INTERVAL = 1.0

INFINITY = float("inf")

_METHODS = frozenset(
    {"connect", "delete", "get", "head", "options", "patch", "post", "put", "trace"}
)
_LABELS = ("code", "method", "handler")
_Key = tuple[str, str, int]


@attrs.define
class Series:
    """The requests of one handler, method and status."""

    count: int = 0
    seconds: float = 0.0
    size: int = 0
    seconds_buckets: list[int] = attrs.field(factory=lambda: [0] * (len(SECONDS) + 1))
    size_buckets: list[int] = attrs.field(factory=lambda: [0] * (len(BYTES) + 1))

    def add(self, other: Series) -> None:
        """Add what *other* counted."""
        self.count += other.count
        self.seconds += other.seconds
        self.size += other.size
        _add(self.seconds_buckets, other.seconds_buckets)
        _add(self.size_buckets, other.size_buckets)


def open_metrics(environ: Mapping[str, str]) -> Metrics:
    """Return the metrics of this process.

    *environ* says whether it is one of several workers (:data:`FOLDER`,
    :data:`SLOT`); then its predecessor's numbers are read.
    """
    folder = environ.get(FOLDER)
    if not folder:
        return Metrics()
    metrics = Metrics(Path(folder), environ.get(SLOT, "0"))
    metrics.load()
    return metrics


@attrs.define(eq=False)
class Metrics:
    """Counts requests."""

    folder: Path | None = None
    slot: str = "0"
    _series: dict[_Key, Series] = attrs.field(factory=dict)

    def observe(
        self, handler: str, method: str, status: int, seconds: float, size: int
    ) -> None:
        """Count one request; *handler* is the route's pattern, *size* in bytes."""
        series = self._series.get((handler, method, status))
        if series is None:
            series = self._series[handler, method, status] = Series()
        series.count += 1
        series.seconds += seconds
        series.size += size
        series.seconds_buckets[bisect_left(SECONDS, seconds)] += 1
        series.size_buckets[bisect_left(BYTES, size)] += 1

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)

    async def answer(self, request: web.Request) -> web.Response:
        """Answer ``/metrics``."""
        from prometheus_client.exposition import choose_encoder

        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        body = encode(self.registry)
        return web.Response(body=body, headers={"Content-Type": content_type})

    @cached_property
    def registry(self) -> CollectorRegistry:
        """This server's own: whatever else is registered there is shown too."""
        from prometheus_client import CollectorRegistry

        registry = CollectorRegistry()
        # A collector is whoever can collect.
        registry.register(cast("Collector", _Families(self)))
        return registry

    @cached_property
    def _process(self) -> ProcessCollector:
        from prometheus_client import ProcessCollector

        return ProcessCollector(registry=None)

    # — several workers ----------------------------------------------------------------

    async def run(self) -> None:
        """Write this worker's numbers again and again; does nothing when alone."""
        while self.folder is not None:
            self.save()
            await asyncio.sleep(INTERVAL)

    def save(self) -> None:
        """Write this worker's numbers where the others find them."""
        if self.folder is None:
            return
        entry = {
            "requests": [[*key, attrs.astuple(s)] for key, s in self._series.items()],
            "process": {name: value for name, _, value in self._own_process()},
        }
        path = self.folder / f"metrics-{self.slot}.json"
        fresh = path.with_suffix(".new")
        fresh.write_bytes(orjson.dumps(entry))
        fresh.replace(path)

    def load(self) -> None:
        """Go on from the numbers of this worker's predecessor."""
        if self.folder is not None:
            path = self.folder / f"metrics-{self.slot}.json"
            if path.exists():
                self._series = dict(_requests(orjson.loads(path.read_bytes())))

    def total(self) -> dict[_Key, Series]:
        """Return what all workers counted."""
        found: dict[_Key, Series] = {}
        self._merge(found, self._series.items())
        for entry in self._others():
            self._merge(found, _requests(entry))
        return found

    def process(self) -> Iterator[tuple[str, str, float]]:
        """Yield name, help and value of what all workers use together."""
        others = [entry["process"] for entry in self._others()]
        for name, text, value in self._own_process():
            values = [value, *(each[name] for each in others if name in each)]
            together = min if name == "process_start_time_seconds" else sum
            yield name, text, together(values)

    def _own_process(self) -> Iterator[tuple[str, str, float]]:
        for family in self._process.collect():
            for sample in family.samples:
                yield sample.name, family.documentation, sample.value

    def _others(self) -> Iterator[dict[str, Any]]:
        if self.folder is None:
            return
        for path in self.folder.glob("metrics-*.json"):
            if path.name != f"metrics-{self.slot}.json":
                yield orjson.loads(path.read_bytes())

    @staticmethod
    def _merge(found: dict[_Key, Series], items: Iterable[tuple[_Key, Series]]) -> None:
        for key, series in items:
            found.setdefault(key, Series()).add(series)


def label_of(method: str) -> str:
    """Return a method as a label; what nobody has heard of is ``unknown``."""
    lower = method.lower()
    return lower if lower in _METHODS else "unknown"


@attrs.frozen(eq=False)
class _Families:
    """Shows numbers as Prometheus' families."""

    metrics: Metrics

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        requests = CounterMetricFamily(
            "http_requests", "How many requests were answered.", labels=_LABELS
        )
        seconds = HistogramMetricFamily(
            "request_duration_seconds", "How long answering took.", labels=_LABELS
        )
        sizes = HistogramMetricFamily(
            "response_size_bytes", "How large the answers were.", labels=_LABELS
        )
        for (handler, method, status), series in self.metrics.total().items():
            labels = (str(status), label_of(method), handler)
            requests.add_metric(labels, series.count)
            seconds.add_metric(
                labels, _buckets(SECONDS, series.seconds_buckets), series.seconds
            )
            sizes.add_metric(labels, _buckets(BYTES, series.size_buckets), series.size)
        yield from (requests, seconds, sizes, _build_info())
        for name, text, value in self.metrics.process():
            if name.endswith("_total"):
                yield CounterMetricFamily(name, text, value)
            else:
                yield GaugeMetricFamily(name, text, value)


def _build_info() -> Metric:
    from prometheus_client.metrics_core import GaugeMetricFamily

    family = GaugeMetricFamily(
        "dex_build_info",
        "Which version this is, always 1.",
        labels=("version", "python_version", "platform"),
    )
    where = f"{platform.system().lower()}/{platform.machine()}"
    family.add_metric((__version__, platform.python_version(), where), 1)
    return family


def _buckets(bounds: tuple[float, ...], counts: list[int]) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    together = 0
    for bound, count in zip((*bounds, INFINITY), counts, strict=True):
        together += count
        found.append(("+Inf" if bound == INFINITY else str(bound), together))
    return found


def _requests(entry: dict[str, Any]) -> Iterator[tuple[_Key, Series]]:
    for handler, method, status, numbers in entry["requests"]:
        yield (handler, method, status), Series(*numbers)


def _add(target: list[int], more: list[int]) -> None:
    for at, count in enumerate(more):
        target[at] += count
