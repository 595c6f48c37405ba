"""The options of ``type: default``."""

from __future__ import annotations

import attrs

from dexcore.options import option
from dexcore.passwords import Scheme


@attrs.frozen
class Config:
    """``signup[].config``."""

    scheme: Scheme = option(
        "bcrypt",
        help="How passwords are hashed.  dex reads bcrypt only.",
    )
    email_verified: bool = option(
        False,
        key="emailVerified",
        help="What tokens say about the address of somebody who just signed up.",
    )
