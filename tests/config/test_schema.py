"""The JSON Schema an editor completes the file with."""

from __future__ import annotations

import json

from pathlib import Path
from typing import Any

import attrs
import jsonschema
import pytest

from dexcore.config.document import parse
from dexcore.config.schema import schema

GOOD = Path(__file__).parent / "good"
SMALL: dict[str, Any] = {
    "issuer": "http://127.0.0.1:5556",
    "storage": {"type": "memory"},
    "web": {"http": ":5556"},
}


@pytest.fixture
def validator(plugins: Any) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema(plugins))


def errors(validator: jsonschema.Draft202012Validator, document: object) -> list[str]:
    return [error.json_path for error in validator.iter_errors(document)]


def test_the_schema_is_one_and_can_be_written_down(plugins: Any) -> None:
    made = schema(plugins)

    jsonschema.Draft202012Validator.check_schema(made)
    assert json.loads(json.dumps(made)) == made
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_without_plugins_it_still_knows_the_core() -> None:
    made = schema()

    jsonschema.Draft202012Validator.check_schema(made)
    assert made["$defs"] == {}
    assert not errors(jsonschema.Draft202012Validator(made), SMALL)


@pytest.mark.parametrize(
    "path", sorted(GOOD.glob("*.yaml")), ids=lambda path: path.stem
)
def test_good_files_fit(path: Path, plugins: Any) -> None:
    document, problems = parse(path.read_text(), path.name, strict=False)
    assert not problems
    # An editor asks for quotes around what only looks like a number, as dex does.
    web, frontend = document["web"], document.get("frontend", {})
    for name in ("tlsMinVersion", "tlsMaxVersion"):
        if name in web:
            web[name] = web.text(name)
    if "extra" in frontend:
        frontend["extra"]["floor"] = "07"
    for client in document["staticClients"]:
        if "secret" in client:
            client["secret"] = client.text("secret")
    for connector in document["connectors"]:
        if connector["type"] in ("ldap", "mockPassword"):
            connector["config"] = {"host": "ldap.example.org"}
    if document["storage"]["type"] == "postgres":
        document["storage"]["config"] = {"host": "db", "port": "$DB_PORT"}

    assert errors(jsonschema.Draft202012Validator(schema(plugins)), document) == []


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"issuer": 5}, "$.issuer"),
        ({"storage": {}}, "$.storage"),
        ({"storage": {"type": "sqlite3"}}, "$.storage"),
        ({"storage": {"type": "sqlite3", "config": {}}}, "$.storage.config"),
        ({"webs": {}}, "$"),
        ({"expiry": {"idTokens": "1d"}}, "$.expiry.idTokens"),
        ({"compat": "lax"}, "$.compat"),
        ({"staticClients": [{"id": "a", "name": "A"}]}, "$.staticClients[0]"),
        (
            {"staticClients": [{"id": "a", "idEnv": "B", "name": "A", "secret": "s"}]},
            "$.staticClients[0]",
        ),
        ({"connectors": [{"id": "a", "type": "ldap"}]}, "$.connectors[0]"),
        (
            {
                "connectors": [
                    {
                        "id": "a",
                        "name": "A",
                        "type": "ldap",
                        "config": {"host": "h", "userMatchers": [{}]},
                    }
                ]
            },
            "$.connectors[0].config.userMatchers[0]",
        ),
        ({"web": {"headers": {"X-Other": "1"}}}, "$.web.headers"),
    ],
    ids=[
        "wrong-type",
        "storage-without-type",
        "config-missing",
        "option-missing",
        "unknown-key",
        "duration",
        "choice",
        "client-without-secret",
        "client-with-two-ids",
        "connector-without-name",
        "option-of-an-option",
        "unknown-header",
    ],
)
def test_what_does_not_fit_is_found(
    change: dict[str, Any], path: str, validator: jsonschema.Draft202012Validator
) -> None:
    assert path in errors(validator, SMALL | change)


def test_a_variable_may_stand_for_a_number_in_the_options_of_a_plugin(
    validator: jsonschema.Draft202012Validator,
) -> None:
    storage = {"type": "postgres", "config": {"host": "a", "port": "$PORT"}}
    assert errors(validator, SMALL | {"storage": storage}) == []


def test_signup_fits_as_one_section_and_as_a_list(
    validator: jsonschema.Draft202012Validator,
) -> None:
    one = {"type": "default", "config": {}}
    assert errors(validator, SMALL | {"signup": one}) == []
    assert errors(validator, SMALL | {"signup": [one]}) == []


def test_keys_say_what_they_mean_and_what_they_are_without_a_word(
    plugins: Any,
) -> None:
    made = schema(plugins)
    tokens = made["properties"]["expiry"]["properties"]["idTokens"]

    assert tokens["default"] == "24h"
    assert "ID tokens" in tokens["description"]
    password = made["$defs"]["connector.ldap"]["properties"]["bindPW"]
    assert password["writeOnly"] is True
    assert "default" not in password
    kinds = made["properties"]["storage"]["properties"]["type"]["anyOf"][0]["enum"]
    assert kinds == ["memory", "postgres", "sqlite3"]


def test_a_plugin_may_have_a_key_that_is_called_like_a_section() -> None:
    @attrs.frozen
    class Proxy:
        storage: str = ""

    class One:
        def offers(self, kind: str) -> dict[str, Any]:
            return {"proxy": _Offer(Proxy)} if kind == "connector" else {}

    made = schema(One())["$defs"]["connector.proxy"]
    assert made["properties"]["storage"] == {"type": "string"}


@attrs.frozen
class _Offer:
    config: type[Any]
