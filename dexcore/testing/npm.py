"""Programs for Node.js that tests run: installed once for all checkouts."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile

from pathlib import Path

__all__ = ["modules"]

_QUIET = ("--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund")
_SECONDS = 110.0  # a test has 120


def modules(package: Path, npm: str = "npm") -> Path:
    """Return the ``node_modules`` folder of what the file *package* asks for.

    It is in the user's cache folder, named after what is in the file.  *npm* is the
    program.  Raises ``subprocess.CalledProcessError`` if it fails.
    """
    wanted = package.read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "dexcore-tests" / f"npm-{hashlib.sha256(wanted).hexdigest()[:16]}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent))
        (made / "package.json").write_bytes(wanted)
        subprocess.run(  # noqa: S603 - our own command
            [npm, "install", *_QUIET], cwd=made, check=True, timeout=_SECONDS
        )
        try:
            made.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(made)
    return folder / "node_modules"
