"""How a section of the configuration file is described: attrs classes of options.

A plugin writes its ``config:`` as an attrs class; the file's keys are matched without
regard to case or underscores, so ``bind_dn`` is ``bindDN``::

    @attrs.frozen
    class Config:
        bind_dn: str = option("", key="bindDN", help="The account that searches.")

An attribute without ``option`` works too; its key is then its name in camel case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

__all__ = ["option", "spelling"]


def option(
    default: Any = attrs.NOTHING,
    *,
    key: str = "",
    help: str = "",  # named as argparse and click name it
    secret: bool = False,
    factory: Callable[[], Any] | None = None,
) -> Any:
    """Describe one key of a section.

    *key* is how documentation spells it; *help* one sentence for the JSON Schema;
    *secret* keeps the value out of everything that is shown.  Without a default the key
    is required.
    """
    metadata = {"key": key, "help": help, "secret": secret}
    if factory is not None:
        return attrs.field(factory=factory, metadata=metadata)
    return attrs.field(default=default, metadata=metadata)


def spelling(field: attrs.Attribute[Any]) -> str:
    """Return how the file's documentation spells the key of *field*."""
    key: str = field.metadata.get("key", "")
    if key:
        return key
    first, *rest = field.name.split("_")
    return first + "".join(part.capitalize() for part in rest)
