"""``storage.config`` of ``type: sqlite3``."""

from __future__ import annotations

import attrs

from dexcore.errors import ConfigError
from dexcore.options import option


@attrs.frozen
class SQLite3:
    """A SQLite file.  ``file`` is dex's option, the others are ours."""

    file: str = option(
        help="A path, `:memory:`, or a `file:` URI. Made if it is not there."
    )
    synchronous: str = option(
        "full",
        help="When a commit counts as done: `full` when it is on the disk; `normal`"
        " when the operating system has it, so that power loss may undo the last ones.",
    )
    journal_mode: str = option(
        "wal",
        help="`wal`, or `delete` for file systems without shared memory (NFS).",
    )

    def __attrs_post_init__(self) -> None:
        if not self.file:
            raise ConfigError("storage.config.file: give the path of the database.")
        _check("synchronous", self.synchronous, ("full", "extra", "normal"))
        _check("journalMode", self.journal_mode, ("wal", "delete"))


def _check(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"storage.config.{key}: give one of {', '.join(allowed)}.")
