"""Log in with Gitea or Forgejo."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dexcore import hookimpl
from dexcore.connector import ConnectorType

from .config import Config
from .connector import open_gitea

dexcore_contract = (1, 0)


@hookimpl
def dex_connector_types() -> Iterable[ConnectorType[Any]]:
    """Offer ``type: gitea``."""
    return (ConnectorType("gitea", Config, open_gitea),)
