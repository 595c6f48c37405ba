"""Upstream refresh tokens that change at every use, and that nobody may lose.

Several clients of one end user share one upstream refresh token, so two of them can
come at once; and what comes after the refresh can fail.  Both would present the old
token again, and an upstream that watches for that ends the end user's session.
"""

from __future__ import annotations

import hashlib
import time

from collections.abc import Callable, Coroutine
from typing import Any

import attrs

from .calls import TokenAnswer
from .kept import Shared

__all__ = ["Rotations"]

#: Seconds for which an answer that brought another refresh token is remembered.
REMEMBERED = 30.0


@attrs.define(eq=False)
class Rotations:
    """Refreshes every upstream token once, however many ask.

    This is per process; across replicas the core stores what was rotated last.
    """

    clock: Callable[[], float] = time.monotonic
    _shared: Shared[TokenAnswer] = attrs.field(factory=Shared, init=False)
    _rotated: dict[bytes, tuple[float, TokenAnswer]] = attrs.field(
        factory=dict, init=False, repr=False
    )

    async def refresh(
        self, token: str, call: Callable[[], Coroutine[Any, Any, TokenAnswer]]
    ) -> TokenAnswer:
        """Return what *call* answers to *token*, or has just answered to it."""
        key = hashlib.sha256(token.encode()).digest()
        self._forget()
        if key in self._rotated:
            return self._rotated[key][1]

        async def remembering() -> TokenAnswer:
            answer = await call()
            if answer.refresh_token and answer.refresh_token != token:
                self._rotated[key] = (self.clock() + REMEMBERED, answer)
            return answer

        return await self._shared.run(key, remembering)

    async def close(self) -> None:
        """Cancel what is under way, and forget everything."""
        await self._shared.close()
        self._rotated.clear()

    def _forget(self) -> None:
        now = self.clock()
        # Oldest first: they were put there in the order of their end.
        for key, (until, _) in [*self._rotated.items()]:
            if until > now:
                break
            del self._rotated[key]
