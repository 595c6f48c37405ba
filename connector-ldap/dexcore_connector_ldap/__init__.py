"""People log in with their name and password in an LDAP directory, or with Kerberos."""

from __future__ import annotations

import asyncio
import importlib

from collections.abc import Iterable
from typing import Any

from dexcore import hookimpl
from dexcore.connector import Connector, ConnectorContext, ConnectorType

from .config import Config

dexcore_contract = (1, 0)


async def open_ldap(config: Config, context: ConnectorContext) -> Connector:
    """Open ``type: ldap``.  The directory itself is not asked until somebody comes."""
    # ldap3 takes a tenth of a second to import, and whoever only checks a file or
    # prints its schema does without.
    found = await asyncio.to_thread(importlib.import_module, f"{__name__}.connector")
    opened: Connector = await found.open_connector(config, context)
    return opened


@hookimpl
def dex_connector_types() -> Iterable[ConnectorType[Any]]:
    """Offer ``type: ldap``."""
    return (ConnectorType("ldap", Config, open_ldap),)
