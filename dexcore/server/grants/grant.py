"""What a grant is: one ``grant_type`` of the token endpoint."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from ...errors import InvalidRequest
from ...storage import Client

Form = Mapping[str, str]


class Grant(ABC):
    """Turns a token request of an authenticated client into a token response."""

    grant_type: ClassVar[str]

    @abstractmethod
    async def answer(self, form: Form, client: Client) -> dict[str, Any]:
        """Return the token response (RFC 6749 section 5.1), or raise the refusal."""


def required(form: Form, name: str) -> str:
    """Return the parameter; raise ``InvalidRequest`` if it is missing or empty."""
    value = form.get(name, "")
    if not value:
        raise InvalidRequest(f"Required param: {name}.")
    return value
