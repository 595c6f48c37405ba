"""Log in through an OAuth 2.0 provider that is not an OpenID Connect provider."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dexcore import hookimpl
from dexcore.connector import ConnectorType

from .config import Config
from .connector import open_oauth

dexcore_contract = (1, 0)


@hookimpl
def dex_connector_types() -> Iterable[ConnectorType[Any]]:
    """Offer ``type: oauth``."""
    return (ConnectorType("oauth", Config, open_oauth),)
