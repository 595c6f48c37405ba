"""The options of ``type: default``."""

from __future__ import annotations

from typing import Literal

import attrs

from dexcore.options import option


@attrs.frozen
class Config:
    """``signup[].config``."""

    scheme: Literal["bcrypt", "argon2id"] = option(
        "bcrypt",
        help="How passwords are hashed.  dex reads bcrypt only.",
    )
    email_verified: bool = option(
        False,
        key="emailVerified",
        help="What tokens say about the address of somebody who just signed up.",
    )
