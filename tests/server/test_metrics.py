"""What Prometheus reads: dex's names, labels and buckets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from dexcore.server.metrics import FOLDER, SLOT, Metrics, open_metrics

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: bytes) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def named(found: Samples, name: str) -> dict[frozenset[tuple[str, str]], float]:
    return {labels: value for (n, labels), value in found.items() if n == name}


LABELS = frozenset({("code", "200"), ("method", "post"), ("handler", "/token")})


def test_requests_are_counted_by_code_method_and_handler() -> None:
    metrics = Metrics()
    metrics.observe("/token", "POST", 200, 0.3, 700)
    metrics.observe("/token", "POST", 200, 20.0, 100)
    found = samples(metrics.render())
    assert named(found, "http_requests_total") == {LABELS: 2}
    assert named(found, "request_duration_seconds_sum") == {LABELS: 20.3}
    assert named(found, "response_size_bytes_sum") == {LABELS: 800}


def test_the_buckets_are_those_dashboards_of_dex_know() -> None:
    metrics = Metrics()
    metrics.observe("/token", "POST", 200, 0.3, 500)
    found = samples(metrics.render())
    for name, expected in (
        (
            "request_duration_seconds_bucket",
            {"0.25": 0, "0.5": 1, "1.0": 1, "2.5": 1, "5.0": 1, "10.0": 1, "+Inf": 1},
        ),
        (
            "response_size_bytes_bucket",
            {"200.0": 0, "500.0": 1, "900.0": 1, "1500.0": 1, "+Inf": 1},
        ),
    ):
        buckets = named(found, name)
        assert {dict(each)["le"]: n for each, n in buckets.items()} == expected


def test_a_method_nobody_has_heard_of_is_not_a_label_of_its_own() -> None:
    metrics = Metrics()
    metrics.observe("/token", "BREW", 405, 0.1, 1)
    (labels,) = named(samples(metrics.render()), "http_requests_total")
    assert dict(labels)["method"] == "unknown"


def test_the_build_and_the_process_are_shown() -> None:
    found = samples(Metrics().render())
    (build,) = named(found, "dex_build_info")
    assert {"version", "platform"} <= dict(build).keys()
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes"):
        assert named(found, name)[frozenset()] > 0


async def test_paths_are_counted_by_their_pattern_not_by_what_was_asked(
    small: type[Any],
) -> None:
    server = small()
    async with TestClient(TestServer(server.web)) as client:
        for path in ("/dex/auth/ldap", "/dex/auth/x", "/dex", "/no", "/such/page"):
            await client.get(path)
    counted = named(samples(server.metrics.render()), "http_requests_total")
    assert {dict(labels)["handler"]: n for labels, n in counted.items()} == {
        "/auth/{connector}": 2,
        "/": 1,
        "unknown": 2,
    }


async def test_a_scrape_says_which_format_it_is(small: type[Any]) -> None:
    async with TestClient(TestServer(small().telemetry)) as client:
        response = await client.get("/metrics")
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        assert "dex_build_info" in await response.text()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {FOLDER: str(tmp_path)}


def test_any_worker_tells_what_all_of_them_counted(environ: dict[str, str]) -> None:
    first = open_metrics({**environ, SLOT: "0"})
    second = open_metrics({**environ, SLOT: "1"})
    for worker, count in ((first, 2), (second, 3)):
        for _ in range(count):
            worker.observe("/token", "POST", 200, 0.1, 10)
        worker.save()
    for worker in (first, second):
        found = samples(worker.render())
        assert named(found, "http_requests_total") == {LABELS: 5}
        assert named(found, "response_size_bytes_sum") == {LABELS: 50}
    memory = "process_resident_memory_bytes"
    alone = named(samples(Metrics().render()), memory)[frozenset()]
    assert named(samples(first.render()), memory)[frozenset()] > alone * 1.5


def test_a_counter_does_not_fall_when_a_worker_starts_again(
    environ: dict[str, str],
) -> None:
    worker = open_metrics({**environ, SLOT: "0"})
    worker.observe("/token", "POST", 200, 0.1, 10)
    worker.save()
    successor = open_metrics({**environ, SLOT: "0"})
    successor.observe("/token", "POST", 200, 0.1, 10)
    assert named(samples(successor.render()), "http_requests_total") == {LABELS: 2}


def test_alone_nothing_is_written() -> None:
    metrics = open_metrics({})
    metrics.save()
    assert metrics.folder is None
