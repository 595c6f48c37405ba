"""Serve or test a fresh checkout: makes an environment, installs, runs nox.

``python3 dev.py serve`` serves the example configuration and the example app;
``python3 dev.py tests`` checks style and types and runs every test.  Anything else is
passed on: ``python3 dev.py -s bench``.  It needs Python 3.11 or later and nothing else;
for the tests it installs Debian packages where it may.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys

from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if sys.platform == "win32" else "bin")

#: The programs some tests run, and Debian's packages of them.
PROGRAMS = {
    "apache2": "apache2",
    "chromium": "chromium",
    "curl": "curl",
    "etcd": "etcd-server",
    "etcdctl": "etcd-client",
    "javac": "default-jdk-headless",
    "kadmin.local": "krb5-admin-server",
    "kinit": "krb5-user",
    "krb5-config": "libkrb5-dev gcc",
    "krb5kdc": "krb5-kdc",
    "ldapmodify": "ldap-utils",
    "mariadbd": "mariadb-server",
    "mod_auth_openidc": "libapache2-mod-auth-openidc",
    "mvn": "maven",
    "node": "nodejs",
    "npm": "npm",
    "php": "php-cli",
    "postgres": "postgresql",
    "samba": "samba-ad-dc samba-ad-provision samba-dsdb-modules samba-vfs-modules",
    "slapd": "slapd",
    "/usr/share/simplesamlphp": "simplesamlphp",
    "sqlite3": "sqlite3",
    "strace": "strace",
    "xmlsec1": "xmlsec1",
}


def main(arguments: list[str]) -> int:
    """Run what *arguments* ask for; return its exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036 - somebody may run this with less
        print("dexcore needs Python 3.11 or later.", file=sys.stderr)
        return 2
    if not _make_environment():
        print("Please install Python's venv and pip.", file=sys.stderr)
        return 2
    if arguments == ["tests"]:
        _install_programs()
        arguments = ["-s", "lint", "types", "tests"]
    elif arguments == ["serve"]:
        arguments = ["-s", "serve"]
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "UV_PYTHON_DOWNLOADS": "never",
        # Whom pip trusts, uv trusts: the machine's certificates.
        "UV_SYSTEM_CERTS": "true",
    }
    return _run([str(BIN / "python"), "-m", "nox", *arguments], environment)


def _run(command: list[str], environment: dict[str, str]) -> int:
    """Run *command*; whoever stops us interrupts all that it started, once."""
    nox = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)

    def interrupt(*_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(nox.pid, signal.SIGINT)

    if hasattr(os, "killpg"):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, interrupt)
    return nox.wait()


def _make_environment() -> bool:
    """Make the environment of nox, unless it is there; return whether it is."""
    if (BIN / "nox").exists():
        return True
    make = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    # Debian keeps ensurepip in a package of its own.
    made = subprocess.run(make, check=False).returncode == 0
    if not made and _apt_install(["python3-venv"]):
        made = subprocess.run(make, check=False).returncode == 0
    pip = [str(BIN / "python"), "-m", "pip", "install", "-q", "nox>=2026.4", "uv>=0.9"]
    return made and subprocess.run(pip, check=False).returncode == 0


def _install_programs() -> None:
    lines = [packages for name, packages in PROGRAMS.items() if not _is_there(name)]
    missing = " ".join(lines).split()
    if missing and not _apt_install(missing):
        print(f"Some tests need {', '.join(missing)}: please install.", file=sys.stderr)


def _is_there(name: str) -> bool:
    # Debian keeps PostgreSQL's programs off the path, in a folder for each version.
    versions = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    # A module of Apache's is no program, but a test needs it just the same.
    module = Path("/usr/lib/apache2/modules", f"{name}.so")
    # What is no program is named by its folder.
    folder = name.startswith("/") and Path(name).is_dir()
    return bool(shutil.which(name) or folder or any(versions) or module.exists())


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
