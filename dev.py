"""Serve or test a fresh checkout: makes an environment, installs, runs nox.

``python3 dev.py serve`` serves the example configuration and the example app;
``python3 dev.py tests`` checks style and types and runs every test.  Anything else is
passed on: ``python3 dev.py -s bench``.  It needs Python 3.11 or later and nothing else;
for the tests it installs Debian packages where it may.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if sys.platform == "win32" else "bin")

#: The programs some tests run, and Debian's packages of them.
PROGRAMS = {
    "chromium": "chromium",
    "node": "nodejs",
    "npm": "npm",
    "sqlite3": "sqlite3",
}


def main(arguments: list[str]) -> int:
    """Run what *arguments* ask for; return its exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036 - somebody may run this with less
        print("dexcore needs Python 3.11 or later.", file=sys.stderr)
        return 2
    _make_environment()
    if arguments == ["tests"]:
        _install_programs()
        arguments = ["-s", "lint", "types", "tests"]
    elif arguments == ["serve"]:
        arguments = ["-s", "serve"]
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "UV_PYTHON_DOWNLOADS": "never",
    }
    command = [str(BIN / "python"), "-m", "nox", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def _make_environment() -> None:
    if (BIN / "nox").exists():
        return
    made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=False)
    if made.returncode:
        # Debian keeps ensurepip in a package of its own.
        _apt_install(["python3-venv"])
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    pip = [str(BIN / "python"), "-m", "pip", "install", "-q", "nox>=2026.4", "uv>=0.9"]
    subprocess.run(pip, check=True)


def _install_programs() -> None:
    missing = [package for name, package in PROGRAMS.items() if not shutil.which(name)]
    if missing and not _apt_install(missing):
        print(f"Some tests need {', '.join(missing)}: please install.", file=sys.stderr)


def _apt_install(packages: list[str]) -> bool:
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return False
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    for command in (["apt-get", "update", "-q"], install):
        if subprocess.run(command, env=environment, check=False).returncode:
            return False
    return True


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
