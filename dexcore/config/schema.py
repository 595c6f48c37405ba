"""``dexcore schema``: the file as a JSON Schema, so that an editor completes it.

The schema knows keys as documentation spells them; the server also takes them in any
case and with underscores, which a schema cannot say.
"""

from __future__ import annotations

import enum

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, get_origin

import attrs

from ..storage import Client, Password
from .convert import Slot, slots
from .durations import PATTERN, format_duration
from .model import MFA, Config, Plugged, StaticClient, StaticPassword
from .scalars import is_list, is_mapping, is_union

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

#: What the file writes instead of a record.
_WRITTEN: Mapping[type, type] = {Client: StaticClient, Password: StaticPassword}
#: An environment variable may stand for anything in the options of a plugin.
_VARIABLE: Schema = {"type": "string", "pattern": r"\$"}
#: Which kind of plugin a key of the file names.
_KINDS = {
    "storage": "storage",
    "signer": "signer",
    "connectors": "connector",
    "authenticators": "authenticator",
    "signup": "signup",
}
_SCALARS: Mapping[Any, Schema] = {
    str: {"type": "string"},
    bytes: {"type": "string"},
    Path: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    timedelta: {"type": "string", "pattern": PATTERN},
    Any: {},
}


class Offers(Protocol):
    """What knows the installed plugins."""

    def offers(self, kind: str, /) -> Mapping[str, Any]:
        """Return what is offered by type; each has its class as ``config``."""


def schema(plugins: Offers | None = None) -> Schema:
    """Return the JSON Schema of the file, with the options of *plugins*."""
    described = _Describer(plugins)
    top = described.section(Config, expands=False)
    return {
        "$schema": DIALECT,
        "title": "dexcore configuration",
        "description": "Keys may be written in any case; this schema has one spelling.",
        **top,
        "$defs": dict(sorted(described.definitions.items())),
    }


class _Describer:
    """Turns attrs classes into schemas, each plugin's once, in ``$defs``."""

    def __init__(self, plugins: Offers | None) -> None:
        self.definitions: dict[str, Schema] = {}
        self.offers = {
            kind: dict(plugins.offers(kind)) if plugins is not None else {}
            for kind in _KINDS.values()
        }
        for kind, offers in self.offers.items():
            for name, offer in offers.items():
                made = self.section(offer.config, expands=kind != "authenticator")
                self.definitions[f"{kind}.{name}"] = made

    def section(self, cls: type, *, expands: bool) -> Schema:
        """Return the schema of an attrs class; with *expands* variables may stand."""
        keys = slots(cls).values()
        made: Schema = {
            "type": "object",
            "properties": {
                slot.key: self._key(slot, expands, cls in (Config, MFA))
                for slot in keys
            },
            "additionalProperties": False,
        }
        required = [slot.key for slot in keys if slot.required]
        if required:
            made["required"] = required
        if cls.__doc__ and cls not in (Config, Plugged):
            made["description"] = cls.__doc__.strip().partition("\n")[0]
        if cls is StaticClient:
            made |= _CLIENT_RULES
        return made

    def _key(self, slot: Slot, expands: bool, ours: bool) -> Schema:
        kind = _KINDS.get(slot.key) if ours else None
        made = self._plugged(slot, kind) if kind else self._type(slot.type, expands)
        about = slot.attribute.metadata
        if about.get("help"):
            made["description"] = about["help"]
        if about.get("secret"):
            made["writeOnly"] = True
        if about.get("choices"):
            _offer(made, about["choices"])
        default = slot.attribute.default
        if not about.get("secret"):
            made |= _default(default)
        return made

    def _plugged(self, slot: Slot, kind: str) -> Schema:
        if slot.type is Plugged:
            return self._named(kind, Plugged)
        named = self._named(kind, get_args(slot.type)[0])
        listed = {"type": "array", "items": named}
        return {"anyOf": [named, listed]} if kind == "signup" else listed

    def _named(self, kind: str, cls: type) -> Schema:
        """Return an entry whose ``type`` decides about its ``config``."""
        made = self.section(cls, expands=False)
        if kind in ("storage", "signer"):
            made["required"] = ["type"]
        names = sorted(self.offers[kind])
        if names:
            _offer(made["properties"]["type"], tuple(names))
        cases = [
            {
                "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
                "then": {
                    "properties": {"config": {"$ref": f"#/$defs/{kind}.{name}"}},
                    **self._needs_config(kind, name),
                },
            }
            for name in names
        ]
        return made | ({"allOf": cases} if cases else {})

    def _needs_config(self, kind: str, name: str) -> Schema:
        needed = self.definitions[f"{kind}.{name}"].get("required")
        return {"required": ["config"]} if needed else {}

    def _type(self, kind: Any, expands: bool) -> Schema:
        if get_origin(kind) is Literal:
            return _variable({"enum": list(get_args(kind))}, expands)
        if is_union(kind):
            return self._union(kind, expands)
        if is_list(kind):
            return {"type": "array", "items": self._type(get_args(kind)[0], expands)}
        if is_mapping(kind):
            values = (*get_args(kind), Any, Any)[1]
            return {
                "type": "object",
                "additionalProperties": self._type(values, expands),
            }
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return _variable({"enum": [each.value for each in kind]}, expands)
        if isinstance(kind, type) and attrs.has(kind):
            return self.section(_WRITTEN.get(kind, kind), expands=expands)
        made = dict(_SCALARS.get(kind, {}))
        return made if kind in (str, bytes, Path) else _variable(made, expands)

    def _union(self, kind: Any, expands: bool) -> Schema:
        made = [
            {"type": "null"} if each is type(None) else self._type(each, expands)
            for each in get_args(kind)
        ]
        return {"anyOf": made}


#: RFC 6749 section 2.1: a client has an id, and a secret unless it is public.
_CLIENT_RULES: Schema = {
    "allOf": [
        {"oneOf": [{"required": ["id"]}, {"required": ["idEnv"]}]},
        {"not": {"required": ["secret", "secretEnv"]}},
        {
            "anyOf": [
                {"required": ["secret"]},
                {"required": ["secretEnv"]},
                {"properties": {"public": {"const": True}}, "required": ["public"]},
            ]
        },
    ],
    "required": ["name"],
}


def _variable(made: Schema, expands: bool) -> Schema:
    return {"anyOf": [made, dict(_VARIABLE)]} if expands and made else made


def _offer(made: Schema, choices: tuple[str, ...]) -> None:
    """Let an editor offer *choices*, and say nothing against others."""
    if made.get("type") == "array":
        made["items"] = {"anyOf": [{"enum": list(choices)}, made["items"]]}
    elif made.get("type") == "object":
        values = made.pop("additionalProperties")
        made["properties"] = {name: dict(values) for name in choices}
        made["additionalProperties"] = False
    elif "type" in made:
        made["anyOf"] = [{"enum": list(choices)}, {"type": made.pop("type")}]
    # Otherwise its type names the values by itself, and there are no others.


def _default(default: Any) -> Schema:
    """Return the default as the file would write it, if it is worth a word."""
    if isinstance(default, timedelta):
        return {"default": format_duration(default)}
    if isinstance(default, bool | int | float) or (
        isinstance(default, str) and default
    ):
        return {"default": default}
    if isinstance(default, tuple) and default and isinstance(default[0], str):
        return {"default": list(default)}
    return {}
