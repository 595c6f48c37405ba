"""What taking over a storage means: what is in it, and what dexcore will do to it."""

from __future__ import annotations

from collections.abc import Iterable

import attrs
import orjson

from ..config import Config, structure
from ..errors import DexcoreError, StorageError
from ..plugins import Plugins
from ..storage import Inspection, StorageContext

FINE, DOUBTFUL, IMPOSSIBLE = 0, 1, 2


async def inspect(config: Config, plugins: Plugins) -> Inspection:
    """Look into the storage that *config* names, and write nothing.

    Raises ``ConfigError``, ``PluginError`` or ``StorageError`` if that cannot be done.
    """
    kind = plugins.storage_type(config.storage.type)
    if kind.inspect is None:
        raise StorageError(
            f'The storage "{kind.name}" offers no way to look into it without opening'
            " it, so nothing was looked at."
        )
    try:
        options = structure(config.storage.config, kind.config, where="storage")
        return await kind.inspect(options, StorageContext())
    except DexcoreError:
        raise
    except Exception as error:
        raise plugins.failed("storage", kind.name, "inspect", error) from error


def exit_code(found: Inspection) -> int:
    """Return 0 if all is fine, 1 if somebody should look, 2 if it cannot be opened."""
    if found.refusal:
        return IMPOSSIBLE
    return DOUBTFUL if found.unreadable or found.doubts else FINE


def render_json(found: Inspection) -> str:
    """Return all of it, for a program."""
    document = attrs.asdict(found) | {"exit_code": exit_code(found)}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n"


def render_text(found: Inspection) -> str:
    """Return all of it, for a person."""
    levels = [f"{one.name}: {one.found} of {one.known}" for one in found.levels]
    counts = [f"{name}: {count}" for name, count in found.counts.items()]
    broken = [f"{one.kind} {one.key}: {one.reason}" for one in found.unreadable]
    parts = [
        f"{found.flavour}\n",
        _section("Schema", levels),
        _section("Records", counts),
        _section("Cannot be read", broken),
        _section("Worth a look", found.doubts),
        _section("When it starts, dexcore will", found.changes),
        f"\ndexcore would not start: {found.refusal}\n" if found.refusal else "",
        "\nNothing was written.\n",
    ]
    return "".join(parts)


def _section(title: str, lines: Iterable[str]) -> str:
    text = "".join(f"  {line}\n" for line in lines)
    return f"\n{title}\n{text}" if text else ""
