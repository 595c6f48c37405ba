"""The ``DEX_*`` environment variables that switch features."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def parse_bool(text: str, default: bool) -> bool:
    """Return what Go's ``ParseBool`` makes of *text*; *default* if it is neither."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    return default


def _flag(default: bool, variable: str) -> bool:
    field: bool = attrs.field(default=default, metadata={"variable": variable})
    return field


@attrs.frozen
class Flags:
    """Every ``DEX_*`` switch, as the environment sets it."""

    ent_enabled: bool = _flag(False, "DEX_ENT_ENABLED")
    expand_env: bool = _flag(True, "DEX_EXPAND_ENV")
    api_connectors_crud: bool = _flag(False, "DEX_API_CONNECTORS_CRUD")
    continue_on_connector_failure: bool = _flag(
        True, "DEX_CONTINUE_ON_CONNECTOR_FAILURE"
    )
    config_disallow_unknown_fields: bool = _flag(
        False, "DEX_CONFIG_DISALLOW_UNKNOWN_FIELDS"
    )
    client_credential_grant_enabled_by_default: bool = _flag(
        False, "DEX_CLIENT_CREDENTIAL_GRANT_ENABLED_BY_DEFAULT"
    )
    sessions_enabled: bool = _flag(False, "DEX_SESSIONS_ENABLED")
    api_sessions_identities_crud: bool = _flag(
        False, "DEX_API_SESSIONS_IDENTITIES_CRUD"
    )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Flags:
        """Read the flags from *environ*; what is not a boolean counts as not set."""
        return cls(
            **{
                field.name: parse_bool(
                    environ.get(field.metadata["variable"], ""), field.default
                )
                for field in attrs.fields(cls)
            }
        )
