"""What plugins can offer: the hook that returns it, and the class an offer has."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import attrs

from ..authenticator import AuthenticatorType
from ..connector import ConnectorType
from ..service import ServiceType
from ..signer import SignerType
from ..signup import SignupType
from ..storage import StorageType

T = TypeVar("T")


@attrs.frozen
class Kind(Generic[T]):
    """One kind of offer; ``title`` is its name in messages."""

    name: str
    title: str
    hook: str
    offer: type[T]


STORAGE: Kind[StorageType[Any]] = Kind(
    "storage", "storage type", "dex_storage_types", StorageType
)
SIGNER: Kind[SignerType[Any]] = Kind(
    "signer", "signer type", "dex_signer_types", SignerType
)
CONNECTOR: Kind[ConnectorType[Any]] = Kind(
    "connector", "connector type", "dex_connector_types", ConnectorType
)
SIGNUP: Kind[SignupType[Any]] = Kind(
    "signup", "sign-up type", "dex_signup_types", SignupType
)
AUTHENTICATOR: Kind[AuthenticatorType[Any]] = Kind(
    "authenticator",
    "authenticator type",
    "dex_authenticator_types",
    AuthenticatorType,
)
SERVICE: Kind[ServiceType[Any]] = Kind(
    "service", "service", "dex_service_types", ServiceType
)

KINDS: dict[str, Kind[Any]] = {
    kind.name: kind
    for kind in (STORAGE, SIGNER, CONNECTOR, SIGNUP, AUTHENTICATOR, SERVICE)
}

#: Kinds of entry points whose hooks return no types.
COMMAND, EXTENSION = "command", "extension"


def split(entry_point: str) -> tuple[str, str]:
    """Return the kind and the name in ``kind.name``; a bare name has no kind."""
    kind, _, name = entry_point.partition(".")
    if name and (kind in KINDS or kind in (COMMAND, EXTENSION)):
        return kind, name
    return "", entry_point
