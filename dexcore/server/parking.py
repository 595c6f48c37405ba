"""Forms that another site lets a browser post.

Such a POST carries none of our cookies, which are ``SameSite=Lax``.  The form is kept
for a moment under a fresh single-use id, and the browser sent to a GET of ours, which
does carry them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import attrs

from aiohttp import web

from ..errors import NotFound, WrongRequest
from ..oauth2.ids import new_id
from ..storage import Collections, ParkedForm
from .guard import Guard
from .middleware import ADDRESS

#: The parameter that names a parked form.
PARKED = "parked"

_FOR = timedelta(minutes=1)


@attrs.frozen(eq=False)
class Parking:
    """Keeps forms; ``guard`` counts what strangers store."""

    storage: Collections
    guard: Guard
    now: Callable[[], datetime]

    async def park(self, request: web.Request, form: Mapping[str, str]) -> str:
        """Return the id under which *form* is kept; raise ``TooManyRequests``."""
        self.guard.check(request.get(ADDRESS) or "")
        parked = ParkedForm(new_id(), form, self.now() + _FOR)
        await self.storage.parked_forms.create(parked)
        return parked.id

    async def take(self, parked_id: str) -> Mapping[str, str]:
        """Return the form, once; raise ``WrongRequest``."""
        try:
            parked = await self.storage.parked_forms.take(parked_id)
        except NotFound:
            raise WrongRequest("User session error.") from None
        if parked.expiry < self.now():
            raise WrongRequest("User session error.")
        return parked.fields
