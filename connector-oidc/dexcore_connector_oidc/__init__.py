"""``type: oidc``: people log in with another OpenID Connect provider."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dexcore import hookimpl
from dexcore.connector import ConnectorType

from .config import Config
from .connector import open_oidc

dexcore_contract = (1, 0)


@hookimpl
def dex_connector_types() -> Iterable[ConnectorType[Any]]:
    """Offer ``type: oidc``."""
    return (ConnectorType("oidc", Config, open_oidc),)
