"""What an operator reads, and what nobody can make them read."""

from __future__ import annotations

import io
import json
import logging

from collections.abc import Callable, Iterator
from contextvars import copy_context

import pytest

from dexcore.config.model import Logger
from dexcore.errors import ConfigError
from dexcore.server import logs
from dexcore.server.audit import Audit, user
from dexcore.storage import Claims

log = logging.getLogger("dexcore.test")
Configure = Callable[..., Callable[[], str]]


@pytest.fixture
def configure() -> Iterator[Configure]:
    """Configure logging; what that returns returns what was written since."""
    root = logging.getLogger()
    level = root.level
    stream = io.BytesIO()

    def start(**options: object) -> Callable[[], str]:
        lines = logs.configure(Logger(**options), stream)  # type: ignore[arg-type]

        def written() -> str:
            lines.flush()
            text = stream.getvalue().decode()
            stream.seek(0)
            stream.truncate()
            return text

        return written

    yield start
    for handler in [each for each in root.handlers if isinstance(each, logs.Lines)]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)


def test_a_text_line_says_when_how_bad_what_and_the_fields(
    configure: Configure,
) -> None:
    written = configure()
    fields = {"server": "http", "address": "127.0.0.1:5556", "n": 3, "ok": True}
    log.info("listening on", extra={"fields": fields})
    time, rest = written().split(" ", 1)
    assert time.startswith("time=20")
    assert time.endswith("Z")
    assert rest == (
        'level=INFO msg="listening on" server=http address=127.0.0.1:5556 n=3 ok=true\n'
    )


def test_a_json_line_is_an_object_with_the_same_keys(configure: Configure) -> None:
    written = configure(format="json")
    log.warning("careful", extra={"fields": {"groups": ("a", "b")}})
    entry = json.loads(written())
    assert list(entry) == ["time", "level", "msg", "groups"]
    assert entry["level"] == "WARN"
    assert entry["groups"] == ["a", "b"]


@pytest.mark.parametrize("shape", ["text", "json"])
def test_a_name_with_a_line_break_does_not_become_a_line(
    configure: Configure, shape: str
) -> None:
    written = configure(format=shape)
    evil = 'x"\ntime=now level=INFO msg="login successful"\x1b[2J\u202e\ud800'
    log.info(evil, extra={"fields": {"username": evil}})
    text = written()
    assert text.count("\n") == 1
    assert "\x1b" not in text
    if shape == "text":
        assert "\u202e" not in text


@pytest.mark.parametrize("shape", ["text", "json"])
def test_a_field_cannot_pretend_to_be_the_level_of_a_json_line(
    configure: Configure, shape: str
) -> None:
    written = configure(format=shape)
    log.error("bad", extra={"fields": {"level": "INFO", "msg": "all is well"}})
    text = written()
    if shape == "json":
        assert json.loads(text)["level"] == "ERROR"
        assert json.loads(text)["msg"] == "bad"
    else:
        assert text.split(" ")[1] == "level=ERROR"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("tab\t", '"tab\\t"'),
        ("nul\x00", '"nul\\x00"'),
        ("Zoë", "Zoë"),
        (("a", "b c"), '"[a b c]"'),
        (None, "None"),
    ],
)
def test_values_are_quoted_where_they_must_be(
    configure: Configure, value: object, shown: str
) -> None:
    written = configure()
    log.info("m", extra={"fields": {"key": value}})
    assert written().rstrip("\n").split(" ", 3)[3] == f"key={shown}"


def test_excluded_fields_are_in_no_line_not_even_the_bound_ones(
    configure: Configure,
) -> None:
    written = configure(exclude_fields=("email", "client_remote_addr"))

    def request() -> None:
        logs.bind(request_id="1", client_remote_addr="192.0.2.1")
        log.info("m", extra={"fields": {"email": "jane@example.com", "user": "jane"}})

    copy_context().run(request)
    text = written()
    assert "request_id=1" in text
    assert "user=jane" in text
    assert "jane@example.com" not in text
    assert "192.0.2.1" not in text


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        ("DEBUG", "debug info warning error"),
        ("info", "info warning error"),
        ("INFO+4", "warning error"),
        ("ERROR-4", "warning error"),
        ("INFO+1", "warning error"),
        ("DEBUG-4", "debug info warning error"),
        ("ERROR+1", ""),
    ],
)
def test_a_level_lets_through_what_is_as_bad(
    configure: Configure, level: str, heard: str
) -> None:
    written = configure(level=level)
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)(name)
    assert [line.split("msg=")[1] for line in written().splitlines()] == heard.split()


@pytest.mark.parametrize("options", [{"level": "warning"}, {"format": "xml"}])
def test_what_dex_refuses_as_level_or_format_is_refused(
    configure: Configure, options: dict[str, str]
) -> None:
    with pytest.raises(ConfigError, match="logger"):
        configure(**options)


@pytest.mark.parametrize("shape", ["text", "json"])
def test_an_exception_is_one_line_with_its_traceback(
    configure: Configure, shape: str
) -> None:
    written = configure(format=shape)
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        log.exception("failed")
    text = written()
    assert text.count("\n") == 1
    assert "ValueError: first" in text
    assert "test_logs.py" in text


async def test_buffered_lines_wait_and_an_urgent_one_comes_after_them(
    configure: Configure,
) -> None:
    configure()
    lines = next(h for h in logging.getLogger().handlers if isinstance(h, logs.Lines))
    stream = lines.stream
    assert isinstance(stream, io.BytesIO)
    log.info("first", extra={"buffered": True})
    assert stream.getvalue() == b""
    log.info("second")
    found = [line.split("msg=")[1] for line in stream.getvalue().decode().splitlines()]
    assert found == ["first", "second"]


def test_an_audit_line_names_the_event_and_who_it_was(configure: Configure) -> None:
    written = configure(format="json")
    claims = Claims(
        user_id="7", username="Jane Doe", email="jane@example.com", groups=("staff",)
    )
    Audit().record("login", connector_id="ldap", **user(claims))
    entry = json.loads(written())
    assert entry["msg"] == "login"
    assert entry["connector_id"] == "ldap"
    assert entry["user_id"] == "7"
    assert entry["email"] == "jane@example.com (unverified)"
    assert entry["groups"] == ["staff"]
    assert "preferred_username" not in entry


@pytest.mark.parametrize("name", ["password", "code", "refresh_token", "state"])
def test_an_audit_line_never_has_a_secret(configure: Configure, name: str) -> None:
    written = configure()
    Audit().record("token issued", client_id="app", **{name: "canary"})
    text = written()
    assert "client_id=app" in text
    assert "canary" not in text


def test_nothing_is_audited_when_the_level_is_above(configure: Configure) -> None:
    written = configure(level="ERROR")
    Audit().record("login", user_id="7")
    assert written() == ""
