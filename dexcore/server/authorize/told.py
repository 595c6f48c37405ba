"""What a client asks to be told, and what a login can tell.

OpenID Connect Core sections 5.4 and 5.5.  From the login on the flow has only what the
tokens will say, so that most logins have nothing beside dex's records.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from ...oauth2 import user_claims
from ...oauth2.extras import Extras
from .flow import Flow


def settled(flow: Flow, told: Extras) -> Flow:
    """Return *flow* after a login that *told* this: ``acr``, ``amr`` and ``user``."""
    asked = flow.extras
    if not (asked.claims or asked.acr_values or told.user):
        return flow
    claims = _answerable(asked, told)
    named = {name for names in claims.values() for name in names}
    return attrs.evolve(
        flow,
        extras=attrs.evolve(
            asked,
            claims=claims,
            acr_values=(),
            acr=told.acr if "acr" in named else "",
            amr=told.amr if "amr" in named else (),
            user=user_claims.wanted(told.user, flow.request.scopes, named),
        ),
    )


def _answerable(asked: Extras, told: Extras) -> Mapping[str, Mapping[str, Any]]:
    """Return the claims that may still be told, by where; the demands are met."""
    by_member = {member: dict.fromkeys(names) for member, names in asked.claims.items()}
    if asked.acr_values:
        # Section 3.1.2.1, acr_values: it asks for acr as a voluntary claim; what it is
        # worth is for amr to say.
        wished = by_member.setdefault("id_token", {})
        wished |= dict.fromkeys(("acr", "amr"))
    never = {"sub"}
    if not told.acr:
        never.add("acr")
    if not told.amr:
        never.add("amr")
    kept = {
        member: {name: None for name in names if name not in never}
        for member, names in by_member.items()
    }
    return {member: names for member, names in kept.items() if names}
