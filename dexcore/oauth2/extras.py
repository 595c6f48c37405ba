"""What an authorization request says, and a login tells, beyond dex's records.

dex's rows have no place for it, so it travels beside them: in the sealed cookie until
somebody has logged in, and from then on in a record of ours (a *supplement*).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

__all__ = ["NO_EXTRAS", "Extras"]

_NOTHING: Mapping[str, Any] = {}


@attrs.frozen
class Extras:
    """Most logins have none of it, and cost nothing for it.

    ``response_mode``: how the client wants its answer (OAuth 2.0 Multiple Response Type
    Encoding Practices section 2.1).  ``request_uri``: what refers to a pushed request
    (RFC 9126).  ``signed``: the client has signed its request (RFC 9101).
    ``connector_id``: such a request insists on it.  ``claims``: the parameter, parsed
    (OpenID Connect Core section 5.5).  ``acr_values`` and ``ui_locales``: in the
    client's order of preference.  ``resources``: RFC 8707.  ``dpop_jkt``: the
    thumbprint of the key that tokens are bound to (RFC 9449).  ``acr`` and ``amr``:
    what the login was, if somebody asked.  ``user``: further claims about the end user,
    under their standard names.  ``subject``: the ``sub`` of all tokens that
    come of the login, if it is not dex's.
    """

    response_mode: str = ""
    request_uri: str = ""
    signed: bool = False
    connector_id: str = ""
    claims: Mapping[str, Any] = _NOTHING
    acr_values: tuple[str, ...] = ()
    ui_locales: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    dpop_jkt: str = ""
    acr: str = ""
    amr: tuple[str, ...] = ()
    user: Mapping[str, Any] = _NOTHING
    subject: str = ""

    @property
    def sealed(self) -> bool:
        """Whether the browser must neither see nor change the request."""
        return self.signed or bool(self.request_uri)

    @property
    def lasting(self) -> Extras:
        """What still counts once the authorization response has been sent."""
        if self is NO_EXTRAS:
            return self
        return attrs.evolve(
            self,
            response_mode="",
            request_uri="",
            signed=False,
            connector_id="",
            acr_values=(),
            ui_locales=(),
        )

    def pack(self) -> dict[str, Any]:
        """Return what is set, as JSON can hold it."""
        if self is NO_EXTRAS:
            return {}
        return {
            name: value
            for name in _NAMES
            if (value := getattr(self, name)) != getattr(NO_EXTRAS, name)
        }

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Extras:
        """Return what :meth:`pack` has packed."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in packed.items()
            if name in _NAMES
        }
        return cls(**values)


_NAMES = tuple(field.name for field in attrs.fields(Extras))

#: What nearly every login has.
NO_EXTRAS = Extras()
