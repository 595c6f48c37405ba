"""How a section of the configuration file is described: attrs classes of options.

A plugin writes its ``config:`` as an attrs class; the file's keys are matched without
regard to case or underscores, so ``bind_dn`` is ``bindDN``::

    @attrs.frozen
    class Config:
        bind_dn: str = option("", key="bindDN", help="The account that searches.")

An attribute without ``option`` works too; its key is then its name in camel case.  What
the types alone cannot say, the class says when it is made, in ``__attrs_post_init__``::

    if not self.host:
        raise InvalidOption("host is empty", key="host", remedy="Name the server.")
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

__all__ = ["InvalidOption", "fold", "option", "spelling"]


class InvalidOption(ValueError):
    """A value of the configuration file cannot be what its author meant.

    *message* says what is wrong, without a full stop, and never shows a secret;
    *remedy* is a sentence that says what to write instead; *key* names the key it is
    about, if it is not the whole section.
    """

    def __init__(self, message: str, *, key: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.key = key
        self.remedy = remedy


def option(
    default: Any = attrs.NOTHING,
    *,
    key: str = "",
    help: str = "",  # named as argparse and click name it
    secret: bool = False,
    choices: tuple[str, ...] = (),
    factory: Callable[[], Any] | None = None,
) -> Any:
    """Describe one key of a section.

    *key* is how documentation spells it; *help* one sentence for the JSON Schema;
    *secret* keeps the value out of everything that is shown; *choices* are the values
    an editor offers (annotate with ``Literal`` to allow no others).  Without a default
    the key is required.
    """
    metadata = {"key": key, "help": help, "secret": secret, "choices": choices}
    shown = not secret
    if factory is not None:
        return attrs.field(factory=factory, metadata=metadata, repr=shown)
    return attrs.field(default=default, metadata=metadata, repr=shown)


def spelling(field: attrs.Attribute[Any]) -> str:
    """Return how the file's documentation spells the key of *field*."""
    key: str = field.metadata.get("key", "")
    if key:
        return key
    first, *rest = field.name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def fold(key: str) -> str:
    """Return *key* as keys are compared: ``redirectURIs`` is ``redirect_uris``."""
    return key.replace("_", "").casefold()
