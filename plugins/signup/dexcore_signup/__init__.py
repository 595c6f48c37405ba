"""Sign-up with an email address, a name and a password: an account of dexcore's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dexcore import hookimpl
from dexcore.signup import SignupType

from .config import Config
from .signup import open_signup

dexcore_contract = (1, 0)


@hookimpl
def dex_signup_types() -> Iterable[SignupType[Any]]:
    """Offer ``type: default``."""
    return (SignupType("default", Config, open_signup),)
