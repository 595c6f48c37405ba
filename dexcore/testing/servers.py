"""Real database servers for tests: in a folder of their own, gone afterwards.

::

    @pytest.fixture(scope="session")
    def postgres(tmp_path_factory):
        with servers.postgres() as server:
            yield server

Each listens on a free port of the loopback interface and on a Unix socket in its
folder, keeps nothing on the disk for longer than it must, and runs as an unprivileged
user where the tests are root's.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

__all__ = ["MISSING", "Server", "etcd", "folder", "mariadb", "postgres"]

_START_SECONDS = 60.0
# A test does not outlive the machine: nothing waits for the disk.
_CARELESS = (
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--innodb-log-file-size=8M",
    "--debug-no-sync",
)

#: What to install, by the name of the server.
MISSING = {
    "postgres": "postgresql",
    "mariadb": "mariadb-server",
    "etcd": "etcd-server",
}


class Server:
    """A server that a test can stop, kill and start again.

    ``host`` and ``port``: where it listens; ``socket``: its Unix socket (for PostgreSQL
    the folder of it); ``folder``: everything it has.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        command: Sequence[str],
        ready: Callable[[], bool],
        folder: Path,
        port: int,
        socket: Path,
        stop: signal.Signals,
        crash: signal.Signals,
        make: Callable[[str], dict[str, Any]],
    ) -> None:
        self.folder = folder
        self.port = port
        self.socket = socket
        self._command = command
        self._ready = ready
        self._stop = stop
        self._crash = crash
        self._make = make
        self._names = (f"own{number}" for number in count(1))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                self._command, stdout=log, stderr=log, cwd=self.folder
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text()[-2000:])
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it in order; clients are cut off."""
        self._end(self._stop)

    def kill(self) -> None:
        """Stop it as a crash would: what it knows is in its log, or is lost."""
        self._end(self._crash)

    @property
    def pid(self) -> int:
        """The number of its (first) process."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def storage(self) -> dict[str, Any]:
        """Make an empty database; return the ``storage`` of a configuration with it."""
        return self._make(next(self._names))

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, such as ``SIGSTOP``, to it alone."""
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(_START_SECONDS)


@contextlib.contextmanager
def postgres(
    *options: str, locale: str = "C.UTF-8", within: Path | None = None
) -> Iterator[Server]:
    """Run PostgreSQL; its superuser is ``postgres`` without a password.

    *options* are settings, as ``name=value``; its folder is made *within* another.
    Raises ``FileNotFoundError`` if it is not installed.
    """
    programs = _postgres_programs()
    with _owned("postgres", within) as (home, as_user):
        port = _free_port()
        data = home / "data"
        _run(
            *as_user,
            f"{programs}/initdb",
            f"--pgdata={data}",
            "--username=postgres",
            "--auth=trust",
            "--no-sync",
            "--no-instructions",
            f"--locale={locale}",
            "--encoding=UTF8",
        )
        settings = (
            "listen_addresses=127.0.0.1",
            f"port={port}",
            f"unix_socket_directories={home}",
            "fsync=off",
            "full_page_writes=off",
            "synchronous_commit=off",
            *options,
        )
        flags = [word for setting in settings for word in ("-c", setting)]
        address = ("-h", "127.0.0.1", "-p", str(port))

        def make(name: str) -> dict[str, Any]:
            _run(f"{programs}/createdb", *address, "-U", "postgres", name)
            where = {"host": "127.0.0.1", "port": port, "database": name}
            options = {"user": "postgres", "ssl": {"mode": "disable"}}
            return {"type": "postgres", "config": where | options}

        server = Server(
            [*as_user, f"{programs}/postgres", "-D", str(data), *flags],
            partial(_succeeds, f"{programs}/pg_isready", "-q", *address),
            home,
            port,
            home,
            signal.SIGINT,  # at once; SIGTERM waits for clients
            signal.SIGQUIT,  # who kills only the first of its processes gets no other
            make,
        )
        yield from _serving(server)


@contextlib.contextmanager
def mariadb(*options: str, within: Path | None = None) -> Iterator[Server]:
    """Run MariaDB; its ``root`` has no password and may come from anywhere local.

    *options* are the server's, as ``--sql-mode=…``; its folder is made *within*
    another.  Raises ``FileNotFoundError`` if it is not installed.
    """
    program, install = _program("mariadbd"), _program("mariadb-install-db")
    admin, client = _program("mariadb-admin"), _program("mariadb")
    with _owned("mysql", within) as (home, as_user):
        port, path, data = _free_port(), home / "socket", home / "data"
        _run(
            *as_user,
            install,
            "--no-defaults",
            f"--datadir={data}",
            f"--tmpdir={home}",  # shared, two of them take each other's files
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            *_CARELESS,
        )
        command = [
            *as_user,
            program,
            "--no-defaults",
            f"--datadir={data}",
            f"--tmpdir={home}",
            f"--socket={path}",
            f"--port={port}",
            "--bind-address=127.0.0.1",
            f"--pid-file={home / 'pid'}",
            "--innodb-buffer-pool-size=32M",
            *_CARELESS,
            "--skip-log-bin",
            *options,
        ]
        root = ("--no-defaults", "-uroot", f"--socket={path}")

        def make(name: str) -> dict[str, Any]:
            create = f"CREATE DATABASE {name} CHARACTER SET utf8mb4"
            _run(client, *root, f"--execute={create}")
            where = {"host": "127.0.0.1", "port": port, "database": name}
            options = {"user": "root", "ssl": {"mode": "false"}}
            return {"type": "mysql", "config": where | options}

        server = Server(
            command,
            partial(_succeeds, admin, *root, "ping"),
            home,
            port,
            path,
            signal.SIGTERM,
            signal.SIGKILL,
            make,
        )
        yield from _serving(server)


@contextlib.contextmanager
def etcd(*options: str, within: Path | None = None) -> Iterator[Server]:
    """Run etcd, a cluster of one; everybody may do everything.

    *options* are the server's, as ``--quota-backend-bytes=…``; its folder is made
    *within* another.  Raises ``FileNotFoundError`` if it is not installed.
    """
    program = _program("etcd", "etcd")
    with _owned("etcd", within) as (home, as_user):
        port, peer = _free_port(), _free_port()
        url, peers = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
        command = [
            *as_user,
            program,
            "--name=one",
            f"--data-dir={home / 'data'}",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=one={peers}",
            "--unsafe-no-fsync",
            "--logger=zap",
            *options,
        ]

        def make(name: str) -> dict[str, Any]:
            config = {"endpoints": [url], "namespace": f"{name}/"}
            return {"type": "etcd", "config": config}

        server = Server(
            command,
            partial(_answers, f"{url}/health"),
            home,
            port,
            home,
            signal.SIGTERM,
            signal.SIGKILL,
            make,
        )
        yield from _serving(server)


def _serving(server: Server) -> Iterator[Server]:
    server.start()
    try:
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.stop()


def _postgres_programs() -> Path:
    # Debian keeps every version in a folder of its own, and none on the path.
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    if initdb is None:
        raise FileNotFoundError("PostgreSQL is not installed.")
    return Path(initdb).parent


def _version(path: Path) -> int:
    name = path.parent.parent.name
    return int(name) if name.isdecimal() else 0


def _program(name: str, of: str = "MariaDB") -> str:
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise FileNotFoundError(f"{of} is not installed.")
    return found


@contextlib.contextmanager
def folder(within: Path | None = None) -> Iterator[Path]:
    """Make a folder that is gone afterwards, with a short name, *within* another."""
    # The path of a Unix socket has to fit into some hundred characters.
    made = Path(tempfile.mkdtemp(prefix="dexcore-", dir=within))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def _owned(user: str, within: Path | None) -> Iterator[tuple[Path, list[str]]]:
    """Make a folder, and say how to run commands as who may own it."""
    with folder(within) as made:
        yield made, _as_user(user, made)


def _as_user(user: str, folder: Path) -> list[str]:
    if os.geteuid() != 0:
        return []
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        found = pwd.getpwnam("nobody")
    os.chown(folder, found.pw_uid, found.pw_gid)
    ids = [f"--reuid={found.pw_uid}", f"--regid={found.pw_gid}"]
    return [_program("setpriv"), *ids, "--clear-groups"]


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603


def _answers(url: str) -> bool:
    # No proxy stands between here and the loopback.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False
