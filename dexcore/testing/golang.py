"""Programs written in Go that tests run: built once for all checkouts.

They are kept in the user's cache folder.  It takes a compiler and the module proxy it
is configured with; test processes that want the same program wait for the first.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile

from collections.abc import Callable
from pathlib import Path

__all__ = ["KUBERNETES", "built", "kubernetes_program"]

#: The version of Kubernetes that tests are run with.
KUBERNETES = "1.36.3"


def built(folder: Path) -> Path:
    """Return the program of the Go module in *folder*, named after what is in it.

    Raises ``RuntimeError`` if it cannot be built.
    """
    files = sorted([*folder.glob("*.go"), *folder.glob("go.*")])
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files))
    name = f"go-{folder.name}-{digest.hexdigest()[:16]}"

    def build(made: Path) -> None:
        for file in files:
            shutil.copy(file, made)
        _go(made, "build", "-mod=readonly", f"-o={name}", "-ldflags=-s -w", ".")

    return _cached(name, build)


def kubernetes_program(name: str) -> Path:
    """Return a program of Kubernetes, such as ``kubectl``.

    The first time it takes a minute, or ``kube-apiserver`` five, on two cores.  Raises
    ``RuntimeError`` if it cannot be built.
    """
    program = f"{name}-{KUBERNETES}"

    def build(made: Path) -> None:
        stamp = "-X k8s.io/component-base/version."
        major, minor, _ = KUBERNETES.split(".")
        _write_wrapper(made)
        _go(
            made,
            "build",
            "-mod=mod",
            f"-o={program}",
            # Without a version of its own, clients take it for v0.0.
            f"-ldflags=-s -w {stamp}gitVersion=v{KUBERNETES} {stamp}gitMajor={major}"
            f" {stamp}gitMinor={minor}",
            f"k8s.io/kubernetes/cmd/{name}",
        )

    return _cached(program, build)


def _write_wrapper(folder: Path) -> None:
    """Make a module that depends on Kubernetes, whose own cannot be built as it is."""
    module = f"k8s.io/kubernetes@v{KUBERNETES}"
    (folder / "go.mod").write_text("module wrapper\n")
    downloaded = json.loads(_go(folder, "mod", "download", "-json", module))
    published = Path(downloaded["GoMod"]).read_text().splitlines()
    # Its parts are published beside it, under versions of their own.
    parts = [line.split()[-3] for line in published if "=> ./staging/" in line]
    version = KUBERNETES.replace("1.", "v0.", 1)
    lines = [
        "module wrapper",
        next(line for line in published if line.startswith("go ")),
        f"require k8s.io/kubernetes v{KUBERNETES}",
        *(f"replace {part} => {part} {version}" for part in parts),
    ]
    (folder / "go.mod").write_text("\n".join(lines) + "\n")


def _cached(name: str, build: Callable[[Path], None]) -> Path:
    """Return the program, which *build* makes in the folder it is given."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "dexcore-tests"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    if program.exists():
        return program
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            with tempfile.TemporaryDirectory(dir=folder) as made:
                build(Path(made))
                (Path(made) / name).rename(program)
    return program


def _go(folder: Path, *arguments: str) -> bytes:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
    done = subprocess.run(  # noqa: S603 - our own command
        ["nice", "-n", "19", "go", *arguments],  # noqa: S607 - whichever is installed
        cwd=folder,
        env=environment,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode()[-3000:])
    return done.stdout
