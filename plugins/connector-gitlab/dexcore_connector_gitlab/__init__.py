"""Log in with GitLab."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dexcore import hookimpl
from dexcore.connector import ConnectorType

from .config import Config
from .connector import open_gitlab

dexcore_contract = (1, 0)


@hookimpl
def dex_connector_types() -> Iterable[ConnectorType[Any]]:
    """Offer ``type: gitlab``."""
    return (ConnectorType("gitlab", Config, open_gitlab),)
