"""The options of a plugin, from its section of the file or from a stored document."""

from __future__ import annotations

import logging

from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from dexcore.config import ConfigProblems, loads, structure
from dexcore.errors import ConfigError
from dexcore.options import option

STRICT = {"DEX_CONFIG_DISALLOW_UNKNOWN_FIELDS": "true"}


def section_of(options: str, environ: dict[str, str] | None = None) -> Any:
    """Return the section of a connector with these options, from line 9 on."""
    indented = "".join(f"    {line}\n" for line in options.splitlines())
    text = (
        "issuer: http://127.0.0.1:5556\nstorage: {type: memory}\nweb: {http: ':1'}\n"
        "connectors:\n- {type: x, id: x, name: x, config:\n"
    )
    text = text.replace("- {", "- ").replace(", ", "\n  ") + indented
    config = loads(text, name="dex.yaml", environ=environ or {})
    return config.connectors[0].config


def problems_of(options: str, cls: type[Any]) -> list[str]:
    with pytest.raises(ConfigProblems) as raised:
        structure(section_of(options), cls)
    return [str(each) for each in raised.value.problems]


def test_every_type_of_option_is_structured(directory: type[Any]) -> None:
    options = """\
host: ldap.example.org
port: 636
share: 1
insecure: no
bindPW: 12345
scope: one
timeout: 1m
ca: ca.pem
userMatchers: [{userAttr: dn}, {user_attr: uid, GROUPATTR: memberUid}]
names: {de: Verzeichnis, fr: 7}
weights: {a: 1}
extra: {free: [form]}
tags: [a, b, a]
lines: [x, 1.50]
limit: 5
pin: 0042
anything: 3
level: 2
private: y
"""
    made = structure(section_of(options), directory)

    assert (made.host, made.port, made.share, made.insecure) == (
        "ldap.example.org",
        636,
        1.0,
        False,
    )
    assert (made.bind_pw, made.scope, made.timeout) == (
        "12345",
        "one",
        timedelta(minutes=1),
    )
    assert made.ca == Path("ca.pem")
    assert [(each.user_attr, each.group_attr) for each in made.matchers] == [
        ("dn", "member"),
        ("uid", "memberUid"),
    ]
    assert made.names == {"de": "Verzeichnis", "fr": "7"}
    assert (made.weights, made.extra) == ({"a": 1}, {"free": ["form"]})
    assert (made.tags, made.lines) == ({"a", "b"}, ["x", "1.50"])
    assert (made.limit, made.pin, made.anything) == (5, b"0042", 3)


def test_a_variable_may_stand_for_a_number_or_a_boolean(directory: type[Any]) -> None:
    options = "host: $HOST\nport: $PORT\ninsecure: $PLAIN\n"
    environ = {"HOST": "ldap", "PORT": "1389", "PLAIN": "true"}
    made = structure(section_of(options, environ), directory)

    assert (made.host, made.port, made.insecure) == ("ldap", 1389, True)


@pytest.mark.parametrize(
    ("options", "place", "said"),
    [
        ("port: 389", "8:3", 'the key "host" is missing. Add "host: …"'),
        ("host: a\nport: many", "10:11", '"many" is not a whole number'),
        ("host: a\nport: 1.5", "10:11", '"1.5" is not a whole number'),
        ("host: a\nshare: half", "10:12", '"half" is not a number'),
        ("host: a\nscope: ones", "10:12", "Did you mean one?"),
        ("host: a\ntimeout: 5", "10:14", "Add a unit"),
        ("host: a\nnames: [b]", "10:5", "a mapping of keys to values"),
        ("host: a\nweights: {a: b}", "10:18", '"b" is not a whole number'),
        ("host: a\nuserMatchers: [{groupAttr: x}]", "10:20", '"userAttr" is missing'),
        ("host: a\nuserMatchers: [x]", "10:20", "should be a section"),
        ("host: a\nlimit: some", "10:12", '"some" is not one of none'),
        ("host: a\nlevel: 4", "10:12", "must be in [1, 2, 3]"),
        ("host: localhost", "8:3", "localhost is ambiguous"),
        ("host: a\ninsecure: yes\nbindPW: geheim", "11:13", "Remove insecure"),
        ("host: a\nca: [b]", "10:5", "should be text"),
    ],
)
def test_a_wrong_option_of_a_plugin_has_its_place_in_the_file(
    options: str, place: str, said: str, directory: type[Any]
) -> None:
    [problem] = problems_of(options, directory)
    assert problem.startswith(f"dex.yaml:{place}: error: ")
    assert said in problem


def test_all_wrong_options_are_told_at_once(directory: type[Any]) -> None:
    found = problems_of("port: x\nshare: y\nuserMatchers: [{}, {}]", directory)
    assert len(found) == 5


def test_a_secret_option_is_not_repeated() -> None:
    @attrs.frozen
    class Vault:
        pin: int = option(secret=True)

    [problem] = problems_of("pin: 12-34-56", Vault)
    assert "12-34-56" not in problem
    assert "12-34" not in repr(structure({"pin": 1234}, Vault))


def test_an_unknown_option_is_a_warning(
    directory: type[Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "dexcore.config"):
        structure(section_of("host: a\nbindPw: b\nprot: 5"), directory)

    [record] = caplog.records
    assert "dex.yaml:11:5" in record.getMessage()
    assert "Did you mean port?" in record.getMessage()


def test_an_unknown_option_is_an_error_when_the_file_is_read_strictly(
    directory: type[Any],
) -> None:
    section = section_of("host: a\nprot: 5", STRICT)
    with pytest.raises(ConfigProblems, match="Did you mean port"):
        structure(section, directory)


def test_a_plugin_without_options_says_so() -> None:
    @attrs.frozen
    class Nothing:
        pass

    with pytest.raises(ConfigProblems, match=r'"port" is not known here. Remove it'):
        structure(section_of("port: 5", STRICT), Nothing)


def test_a_stored_document_is_structured_too(directory: type[Any]) -> None:
    stored = {
        "host": "a",
        "port": 1,
        "insecure": True,
        "userMatchers": [{"userAttr": 1}],
    }
    made = structure(stored, directory)

    assert (made.port, made.insecure) == (1, True)
    assert made.matchers[0].user_attr == "1"


def test_what_is_wrong_with_a_stored_document_has_a_path(
    directory: type[Any],
) -> None:
    stored = {"host": "a", "port": True, "userMatchers": [{"groupAttr": 1}]}
    with pytest.raises(ConfigProblems) as raised:
        structure(stored, directory, where="connector people")

    assert sorted(map(str, raised.value.problems)) == [
        'connector people.port: error: "true" is not a whole number. '
        "Write digits only.",
        'connector people.userMatchers[0]: error: the key "userAttr" is missing. '
        'Add "userAttr: …". The attribute of the user.',
    ]


def test_a_class_may_refuse_with_any_error_of_ours() -> None:
    @attrs.frozen
    class Fussy:
        def __attrs_post_init__(self) -> None:
            raise ConfigError("Not today.")

    with pytest.raises(ConfigProblems, match="x: error: Not today"):
        structure({}, Fussy, where="x")


def test_a_section_survives_being_sent_to_another_process() -> None:
    import pickle

    section = section_of("host: [a]\nport: {b: 1}")
    again = pickle.loads(pickle.dumps(section))
    assert again == section
    assert again.position("host") == section.position("host")


def test_problems_survive_being_sent_to_another_process(directory: type[Any]) -> None:
    import pickle

    with pytest.raises(ConfigProblems) as raised:
        structure({}, directory)
    again = pickle.loads(pickle.dumps(raised.value))
    assert str(again) == str(raised.value)
