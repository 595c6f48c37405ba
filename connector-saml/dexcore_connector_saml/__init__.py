"""``type: saml``: people log in at a SAML 2.0 identity provider (POST binding)."""

from __future__ import annotations

from dexcore import hookimpl
from dexcore.connector import ConnectorType

from .config import Saml
from .connector import SamlConnector, open_saml

__all__ = ["Saml", "SamlConnector", "open_saml"]

dexcore_contract = (1, 0)


@hookimpl
def dex_connector_types() -> list[ConnectorType[Saml]]:
    """Offer ``saml``, and the name dex had for it at first."""
    return [
        ConnectorType("saml", Saml, open_saml),
        ConnectorType("samlExperimental", Saml, open_saml),
    ]
