"""Programs in Java that tests run: built once for all checkouts, with Maven."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile

from collections.abc import Iterator
from pathlib import Path

__all__ = ["built"]

_SECONDS = 600.0  # what it needs may have to be fetched
_UNREACHABLE = "Could not transfer artifact"
_BUILD = (
    *("-q", "-B", "compile", "dependency:copy-dependencies"),
    *("-DincludeScope=runtime", "-DoutputDirectory=target/lib"),
)


def built(project: Path, mvn: str = "mvn") -> str:
    """Return the class path of the program whose ``pom.xml`` is in folder *project*.

    It is in the user's cache folder, named after what is in the project.  *mvn* is the
    program.  Raises ``ConnectionError`` if it cannot fetch what it needs and
    ``RuntimeError`` if it fails otherwise, with its words.
    """
    files = sorted(path for path in project.rglob("*") if path.is_file())
    wanted = hashlib.sha256()
    for file in files:
        name = file.relative_to(project).as_posix().encode()
        text = file.read_bytes()
        wanted.update(b"%d %d " % (len(name), len(text)) + name + text)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "dexcore-tests" / f"maven-{wanted.hexdigest()[:16]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Whoever comes second waits: two builds at once would fetch everything twice.
    with _alone(folder.parent / "maven.lock"):
        if not folder.exists():
            made = Path(tempfile.mkdtemp(dir=folder.parent))
            try:
                _build(project, made / "project", mvn)
                (made / "project").rename(folder)
            finally:
                shutil.rmtree(made)
    return os.pathsep.join([f"{folder}/target/classes", f"{folder}/target/lib/*"])


def _build(project: Path, copy: Path, mvn: str) -> None:
    shutil.copytree(project, copy)
    done = subprocess.run(  # noqa: S603 - our own command
        [mvn, *_BUILD],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    if done.returncode:
        words = f"{mvn}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        failed = ConnectionError if _UNREACHABLE in words else RuntimeError
        raise failed(words)


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
