"""The small vocabularies: durations, flags, variables."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dexcore.config import Flags, loads, reads
from dexcore.config.durations import format_duration, parse_duration
from dexcore.config.environment import expand
from dexcore.options import InvalidOption

SMALL = """\
issuer: http://127.0.0.1:5556/dex
web: {http: 127.0.0.1:5556}
"""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("2m3.5s", 123.5),
        ("-1m", -60),
        ("+1m", 60),
        ("100ms", 0.1),
        ("7us", 0.000007),
        ("7\u00b5s", 0.000007),
        ("7\u03bcs", 0.000007),
        ("1500ns", 0.000001),
    ],
)
def test_durations_are_gos(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "90", "1d", "1 h", "h", "1h-2m", "\u0661h", "1H"])
def test_what_go_does_not_read_as_a_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "remedy"), [("90", "90s"), ("3d", "72h"), ("2 weeks", "336h"), ("x", "1h")]
)
def test_a_wrong_duration_comes_with_a_right_one(text: str, remedy: str) -> None:
    with pytest.raises(InvalidOption) as raised:
        parse_duration(text)
    assert remedy in raised.value.remedy


@pytest.mark.parametrize("text", ["0s", "5m", "24h", "1h0.5s", "1h30m", "-2m", "10s"])
def test_durations_are_written_as_they_are_read(text: str) -> None:
    assert format_duration(parse_duration(text)) == text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((text, True) for text in ("1", "t", "T", "TRUE", "true", "True")),
        *((text, False) for text in ("0", "f", "F", "FALSE", "false", "False")),
        ("", True),
        ("yes", True),
        ("no", True),
    ],
)
def test_flags_follow_gos_parse_bool_and_keep_their_default(
    value: str, expected: bool
) -> None:
    assert Flags.from_environ({"DEX_EXPAND_ENV": value}).expand_env is expected


def test_flags_have_the_defaults_of_dex() -> None:
    flags = Flags.from_environ({})
    assert flags == Flags(expand_env=True, continue_on_connector_failure=True)
    assert not flags.sessions_enabled
    assert not flags.api_connectors_crud


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$NAME", "value"),
        ("${NAME}", "value"),
        ("a$NAME-b", "avalue-b"),
        ("a${NAME}b", "avalueb"),
        ("$NAMEx", ""),
        ("$UNSET!", "!"),
        ("a$$b", "ab"),
        ("p$-w", "pw"),
        ("$1x", "x"),
        ("${1}x", "x"),
        ("a${}b", "ab"),
        ("a${FOO", "aFOO"),
        ("cost: 5$", "cost: 5$"),
        ("a$ b", "a$ b"),
        ("$é", "$é"),
        ("${NAME}$NAME", "valuevalue"),
        ("no variable", "no variable"),
        ("$", "$"),
    ],
)
def test_variables_expand_as_in_go(text: str, expected: str) -> None:
    assert expand(text, lambda name: {"NAME": "value"}.get(name, "")) == expected


def test_variables_expand_in_the_options_of_plugins_only() -> None:
    text = """\
        issuer: http://$HOST/
        web: {http: ":5556"}
        storage: {type: sqlite3, config: {file: $FILE, list: [$A, [$A], {b: $A}]}}
        signer: {type: local, config: {keysRotationPeriod: $A}}
        connectors:
        - {type: x, id: $A, name: $A, config: {key: $A, number: 5}}
        enablePasswordDB: true
        enableSignup: true
        signup: {config: {code: $A}}
        """
    config = loads(text, environ={"FILE": "dex.db", "A": "a"})

    assert config.issuer == "http://$HOST/"
    assert config.storage.config == {
        "file": "dex.db",
        "list": ["a", ["$A"], {"b": "a"}],
    }
    assert config.signer.config == {"keysRotationPeriod": "a"}
    connector = config.connectors[0]
    assert (connector.id, connector.config) == ("$A", {"key": "a", "number": 5})
    assert config.signup[0].config == {"code": "a"}


def test_variables_stay_when_expansion_is_switched_off() -> None:
    text = SMALL + "storage: {type: sqlite3, config: {file: $FILE}}\n"
    environ = {"DEX_EXPAND_ENV": "false", "FILE": "dex.db"}
    assert loads(text, environ=environ).storage.config == {"file": "$FILE"}


def test_an_unset_variable_is_a_warning_with_its_place() -> None:
    text = SMALL + "storage: {type: sqlite3, config: {file: $FILE}}\n"
    reading = reads(text, name="dex.yaml", environ={})

    [warning] = reading.problems
    assert reading.config.storage.config == {"file": ""}
    assert str(warning).startswith("dex.yaml:3:41: warning: ")
    assert "Set FILE" in warning.remedy


def test_a_dollar_sign_that_eats_part_of_a_password_is_a_warning() -> None:
    text = SMALL + "storage: {type: postgres, config: {password: pa$$word}}\n"
    reading = reads(text, environ={})

    assert reading.config.storage.config == {"password": "paword"}
    assert '"$$"' in reading.problems[0].message
    assert "DEX_EXPAND_ENV=false" in reading.problems[0].remedy
