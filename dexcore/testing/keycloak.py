"""A real Keycloak for tests: downloaded once, started on a free loopback port.

::

    @pytest.fixture(scope="session")
    def keycloak():
        with running() as server:
            server.add_realm("staff", users=[{"username": "jane", …}])
            yield server

It needs Java 17 or later and Maven, which fetches the release from Maven Central into
the user's cache folder.  The first start on a machine takes a minute, because Keycloak
builds itself; each one after that a quarter of one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["MISSING", "PASSWORD", "VERSION", "Keycloak", "running"]

#: The newest that Maven Central serves and that runs on Debian's Java.
VERSION = "26.7.3"

#: What to install, by the name of the program.
MISSING = {"java": "default-jre-headless", "mvn": "maven"}

#: The password of every user, unless theirs is said.
PASSWORD = "password"

_ADMIN = "admin"
_START_SECONDS = 180.0
_FETCH_SECONDS = 600.0
_SMALL = "-Xms64m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1"


class Keycloak:
    """A Keycloak that runs; ``url`` is where, ``http://127.0.0.1:PORT``.

    All methods wait.  They raise ``RuntimeError`` with Keycloak's words if it refuses.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._token = ""
        self._token_until = 0.0

    def issuer(self, realm: str) -> str:
        """Return the OpenID Connect issuer of *realm*."""
        return f"{self.url}/realms/{realm}"

    def admin(self, method: str, path: str, document: Any = None) -> Any:
        """Call the admin API, as ``admin("GET", "/staff/users")``; return its JSON.

        *path* follows ``/admin/realms``.
        """
        headers = {"Authorization": f"Bearer {self._admin_token()}"}
        body = None
        if document is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(document).encode()
        return self._call(method, f"/admin/realms{path}", headers, body)

    # — who there is -------------------------------------------------------------------

    def add_realm(
        self,
        name: str,
        *,
        users: Iterable[Mapping[str, Any]] = (),
        groups: Iterable[str] = (),
        clients: Iterable[Mapping[str, Any]] = (),
        **settings: Any,
    ) -> None:
        """Make a realm, without https; *settings* are Keycloak's, as its export has.

        Each of *users* gets the password ``password``, is enabled and has a verified
        address, if it does not say otherwise; *clients* are Keycloak's representations.
        """
        self.admin(
            "POST",
            "",
            {
                "realm": name,
                "enabled": True,
                "sslRequired": "none",
                "groups": [{"name": group} for group in groups],
                "users": [_user(user, name) for user in users],
                "clients": [dict(client) for client in clients],
                **settings,
            },
        )

    def remove_realm(self, name: str) -> None:
        """Remove a realm and everything in it."""
        self.admin("DELETE", f"/{name}")

    def user(self, realm: str, username: str) -> dict[str, Any]:
        """Return a user's representation.  Raises ``LookupError``."""
        query = urllib.parse.urlencode({"username": username, "exact": "true"})
        for user in self.admin("GET", f"/{realm}/users?{query}"):
            found: dict[str, Any] = user
            return found
        raise LookupError(f"{realm} has no user {username!r}.")

    def change_user(self, realm: str, username: str, **changes: Any) -> None:
        """Change a user's representation, as ``enabled=False``."""
        user = self.user(realm, username)
        self.admin("PUT", f"/{realm}/users/{user['id']}", {**user, **changes})

    def log_out_user(self, realm: str, username: str) -> None:
        """End all sessions of a user, and with them their refresh tokens."""
        user = self.user(realm, username)
        self.admin("POST", f"/{realm}/users/{user['id']}/logout")

    # — on the wire --------------------------------------------------------------------

    def is_up(self) -> bool:
        """Return whether it answers."""
        path = "/realms/master/.well-known/openid-configuration"
        try:
            self._call("GET", path, {}, None)
        except (OSError, RuntimeError):
            return False
        return True

    def _admin_token(self) -> str:
        if time.monotonic() < self._token_until:
            return self._token
        form = {
            "grant_type": "password",
            "client_id": "admin-cli",
            "username": _ADMIN,
            "password": PASSWORD,
        }
        answer = self._call(
            "POST",
            "/realms/master/protocol/openid-connect/token",
            {"Content-Type": "application/x-www-form-urlencoded"},
            urllib.parse.urlencode(form).encode(),
        )
        self._token = answer["access_token"]
        self._token_until = time.monotonic() + answer["expires_in"] / 2
        return self._token

    def _call(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Any:
        request = urllib.request.Request(  # noqa: S310 - our own server
            self.url + path, method=method, headers=dict(headers), data=body
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as response:  # noqa: S310
                answer = response.read()
        except urllib.error.HTTPError as error:
            with error:
                words = error.read().decode(errors="replace")
            raise RuntimeError(f"{method} {path}: {error.code} {words}") from None
        return json.loads(answer) if answer else None


@contextlib.contextmanager
def running(*options: str, version: str = VERSION) -> Iterator[Keycloak]:
    """Run Keycloak with a database in memory; *options* are those of its ``start``.

    Raises ``FileNotFoundError`` if Java or Maven is not installed.
    """
    for program in MISSING:
        if shutil.which(program) is None:
            raise FileNotFoundError(f"{program} is not installed.")
    built = _built(version)
    folder = Path(tempfile.mkdtemp(prefix="dexcore-keycloak-"))
    try:
        home = folder / "home"
        # Nothing of an optimized Keycloak is written but its data, so links do.
        shutil.copytree(built, home, copy_function=os.link, symlinks=True)
        yield from _serving(home, folder / "log", options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _serving(home: Path, log: Path, options: Iterable[str]) -> Iterator[Keycloak]:
    port = _free_port()
    server = Keycloak(f"http://127.0.0.1:{port}")
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [
                str(home / "bin" / "kc.sh"),
                *("start", "--optimized", "--http-enabled=true"),
                *("--http-host=127.0.0.1", f"--http-port={port}"),
                *("--hostname-strict=false", "--cache=local", *options),
            ],
            stdout=output,
            stderr=output,
            cwd=home,
            env={
                **os.environ,
                "JAVA_OPTS": _SMALL,
                "KC_BOOTSTRAP_ADMIN_USERNAME": _ADMIN,
                "KC_BOOTSTRAP_ADMIN_PASSWORD": PASSWORD,
            },
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not server.is_up():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text(errors="replace")[-2000:])
            time.sleep(0.2)
        yield server
    finally:
        process.terminate()
        process.wait(_START_SECONDS)


def _built(version: str) -> Path:
    """Return the folder of a Keycloak that is ready to start, made if need be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "dexcore-tests" / f"keycloak-{version}"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        _fetch(version, made)
        home = made / f"keycloak-{version}"
        kc = str(home / "bin" / "kc.sh")
        _run(kc, "build", "--db=dev-mem", "--health-enabled=false", cwd=home)
        with contextlib.suppress(OSError):  # another process was faster
            home.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def _fetch(version: str, folder: Path) -> None:
    artifact = f"org.keycloak:keycloak-quarkus-dist:{version}:tar.gz"
    copy = ["dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={folder}"]
    _run("mvn", "-q", "-B", *copy, cwd=folder)
    (archive,) = folder.glob("*.tar.gz")
    shutil.unpack_archive(archive, folder, filter="data")
    archive.unlink()


def _run(*command: str, cwd: Path) -> None:
    done = subprocess.run(  # noqa: S603
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=_FETCH_SECONDS,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}")


def _user(user: Mapping[str, Any], realm: str) -> dict[str, Any]:
    secret = {"type": "password", "value": PASSWORD, "temporary": False}
    # Who is imported has no more roles than are said, not even those everybody has.
    roles = [f"default-roles-{realm.lower()}", *user.get("realmRoles", ())]
    return {
        "enabled": True,
        "emailVerified": True,
        "credentials": [secret],
        **user,
        "realmRoles": roles,
    }


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
