"""The record kinds as custom resources: dex's twelve, then ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import attrs

from dexcore.storage import KINDS, Kind

from . import names

R = TypeVar("R")

#: Ours are in dex's group too, so that whoever may use dex's resources may use ours;
#: dex never looks at them.
GROUP = "dex.coreos.com"
VERSION = "v1"
API_VERSION = f"{GROUP}/{VERSION}"


@attrs.frozen
class Resource(Generic[R]):
    """How one kind of record is kept.

    ``names`` makes the names an object can have from the key of its record, the usual
    one first; ``exact`` says that different keys never have one name; ``watched`` that
    every replica keeps a copy of all of them, because they are read all the time;
    ``listed`` that the copy is good enough for lists: those that only administrators
    ask for come from the server.
    """

    kind: Kind[R]
    type: str
    plural: str
    names: names.Names
    exact: bool = True
    watched: bool = False
    listed: bool = False

    @property
    def definition(self) -> dict[str, Any]:
        """The custom resource definition, as dex makes it."""
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{self.plural}.{GROUP}"},
            "spec": {
                "group": GROUP,
                "names": {
                    "kind": self.type,
                    "listKind": f"{self.type}List",
                    "plural": self.plural,
                    "singular": self.type.lower(),
                },
                "scope": "Namespaced",
                "versions": [
                    {
                        "name": VERSION,
                        "schema": {
                            "openAPIV3Schema": {
                                "type": "object",
                                "x-kubernetes-preserve-unknown-fields": True,
                            }
                        },
                        "served": True,
                        "storage": True,
                    }
                ],
            },
        }


_KINDS: Mapping[str, Kind[Any]] = {kind.name: kind for kind in KINDS}


def _dex(
    kind: str,
    type: str,
    naming: names.Names,
    *,
    plural: str = "",
    exact: bool = True,
    watched: bool = False,
    listed: bool = False,
) -> Resource[Any]:
    plural = plural or f"{type.lower()}s"
    return Resource(_KINDS[kind], type, plural, naming, exact, watched, listed)


def _own(kind: Kind[Any]) -> Resource[Any]:
    words = kind.name.split("_")
    # The prefix keeps out of the way of whatever dex will call its next ones.
    type = "".join(["Dexcore", *(word.capitalize() for word in words)])
    # The replicas ask every few seconds what has been revoked.
    watched = kind.name == "revocation"
    plural = f"dexcore{kind.collection.replace('_', '')}"
    return Resource(kind, type, plural, names.ordered, True, watched, watched)


_BY_ID, _BY_PAIR = names.of_id, names.of_pair

RESOURCES: tuple[Resource[Any], ...] = (
    _dex("client", "OAuth2Client", _BY_ID, watched=True),
    _dex("auth_request", "AuthRequest", names.verbatim),
    _dex("auth_code", "AuthCode", names.verbatim),
    _dex("refresh_token", "RefreshToken", names.verbatim),
    _dex("password", "Password", _BY_ID, watched=True),
    _dex(
        "keys",
        "SigningKey",
        names.constant("openid-connect-keys"),
        # Sic: dex makes plurals of its own.
        plural="signingkeies",
    ),
    _dex(
        "offline_session",
        "OfflineSessions",
        _BY_PAIR,
        plural="offlinesessionses",
        exact=False,
    ),
    _dex("connector", "Connector", names.verbatim, watched=True, listed=True),
    _dex("device_request", "DeviceRequest", names.lowered, exact=False),
    _dex("device_token", "DeviceToken", names.verbatim),
    _dex(
        "user_identity", "UserIdentity", _BY_PAIR, plural="useridentities", exact=False
    ),
    _dex("auth_session", "AuthSession", names.verbatim),
    *(_own(kind) for kind in KINDS if kind.own),
)
