"""Real directories the tests start and stop, and servers that misbehave."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import fcntl
import importlib
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import warnings

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
import trustme

from playwright.async_api import Locator, Page

from dexcore.config import structure
from dexcore.connector import ConnectorContext
from dexcore.storage import Collections
from dexcore.testing.chromium import chromium
from dexcore.testing.journey import Journey
from dexcore.testing.serving import CLIENT_SECRET

with warnings.catch_warnings():
    # ldap3 2.9.1, its last release, imports what pyasn1 has renamed.
    warnings.filterwarnings("ignore", "(tag|type)Map is deprecated")
    import dexcore_connector_ldap.codec  # noqa: F401

from dexcore_connector_ldap import Config, open_ldap

HERE = Path(__file__).parent
BASE = "dc=example,dc=org"
ADMIN, ADMIN_PASSWORD = f"cn=admin,{BASE}", "let-me-search"

_STARTS = 60.0  # seconds a server may take; on two busy cores it takes one

PACKAGES = {
    "slapd": "slapd",
    "ldapmodify": "ldap-utils",
    "ldapsearch": "ldap-utils",
    "samba": "samba-ad-dc",
    "samba-tool": "samba-ad-provision samba-dsdb-modules samba-vfs-modules",
    "krb5kdc": "krb5-kdc",
    "kdb5_util": "krb5-kdc",
    "kadmin.local": "krb5-admin-server",
    "kinit": "krb5-user",
    "curl": "curl",
}


@pytest.fixture(name="program")
def find_program() -> Callable[[str], str]:
    """Return the path of a program."""
    return program


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Return a port nobody listens on."""
    return lambda: free_ports(1)[0]


@pytest.fixture
def run_program() -> Callable[..., str]:
    """Run a program and return what it says."""
    return run


def program(name: str) -> str:
    """The path of a program; a failure where everything should be installed."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(name, path=path)
    if found:
        return found
    reason = f"Not run: {name} is missing: apt-get install {PACKAGES[name]}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def run(*command: str, stdin: str = "", env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        input=stdin,
        text=True,
        capture_output=True,
        env={**os.environ, **(env or {})},
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


class Process:
    """A server in the foreground, in a folder of its own."""

    def __init__(
        self, folder: Path, command: list[str], ready: Callable[[], bool], **env: str
    ) -> None:
        self.folder = folder
        self._command = command
        self._ready = ready
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **self._env},
            )
        until = time.monotonic() + _STARTS
        while not self._ready():
            log_text = (self.folder / "log").read_text(errors="replace")[-3000:]
            assert self._process.poll() is None, log_text
            assert time.monotonic() < until, log_text
            time.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)


def answers(port: int) -> Callable[[], bool]:
    """Whether something listens on the port."""

    def ready() -> bool:
        with socket.socket() as one:
            one.settimeout(5)
            return one.connect_ex(("127.0.0.1", port)) == 0

    return ready


# — certificates -----------------------------------------------------------------------


class Certificates:
    """An authority, and what it has signed, as files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.authority = trustme.CA()
        self.ca = str(folder / "ca.pem")
        self.ca_data = base64.b64encode(self.authority.cert_pem.bytes()).decode()
        self.authority.cert_pem.write_to_path(self.ca)

    def issue(self, *names: str, common_name: str) -> tuple[str, str]:
        """A certificate and its key."""
        made = self.authority.issue_cert(*names, common_name=common_name)
        stem = str(self._folder / common_name.replace(" ", "-"))
        made.cert_chain_pems[0].write_to_path(f"{stem}.pem")
        made.private_key_pem.write_to_path(f"{stem}.key")
        Path(f"{stem}.key").chmod(0o600)
        return f"{stem}.pem", f"{stem}.key"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


# — OpenLDAP ---------------------------------------------------------------------------


class Slapd(Process):
    """OpenLDAP with the entries of an LDIF.  ``ldaps`` and StartTLS work too."""

    def __init__(
        self,
        folder: Path,
        certificates: Certificates,
        ldif: str,
        options: str = "",
        names: tuple[str, ...] = ("localhost", "127.0.0.1"),
    ) -> None:
        self.port, self.tls_port = free_ports(2)
        self.url = f"ldap://127.0.0.1:{self.port}"
        (folder / "db").mkdir()
        cert, key = certificates.issue(*names, common_name="slapd")
        shutil.copy(cert, folder / "cert.pem")
        shutil.copy(key, folder / "key.pem")
        (folder / "slapd.conf").write_text(
            SLAPD_CONF.format(folder=folder, ca=certificates.ca, options=options)
        )
        (folder / "seed.ldif").write_text(ldif, "utf-8")
        conf, slapd = str(folder / "slapd.conf"), program("slapd")
        # slapd is slapadd when called by that name.
        run(program("slapadd"), "-q", "-f", conf, "-l", str(folder / "seed.ldif"))
        urls = f"{self.url}/ ldaps://127.0.0.1:{self.tls_port}/"
        command = [slapd, "-d", "stats", "-f", conf, "-h", urls]
        super().__init__(folder, command, answers(self.tls_port))

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def tls_host(self) -> str:
        return f"127.0.0.1:{self.tls_port}"

    def modify(self, ldif: str) -> None:
        """Change entries, as an administrator does."""
        login = ["-x", "-H", self.url, "-D", ADMIN, "-w", ADMIN_PASSWORD]
        run(program("ldapmodify"), *login, stdin=ldif)

    def mark(self) -> int:
        """Where the log ends now."""
        return (self.folder / "log").stat().st_size

    def log_since(self, mark: int) -> str:
        """What slapd has written since about connections on which somebody was bound.

        Those are the connector's; others only looked whether it is there.  A request is
        there once it is answered.
        """
        log = (self.folder / "log").read_bytes()
        bound = set(re.findall(rb"(conn=\d+ )op=\d+ BIND", log))
        lines = log[mark:].splitlines()
        found = [each for each in lines if any(one in each for one in bound)]
        return b"\n".join(found).decode(errors="replace")


SLAPD_CONF = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
moduleload ppolicy
TLSCACertificateFile {ca}
TLSCertificateFile {folder}/cert.pem
TLSCertificateKeyFile {folder}/key.pem
TLSVerifyClient try
pidfile {folder}/slapd.pid
threads 4
{options}
database mdb
suffix "dc=example,dc=org"
rootdn "cn=admin,dc=example,dc=org"
rootpw let-me-search
directory {folder}/db
dbnosync
maxsize 67108864
"""


@contextlib.contextmanager
def folder(prefix: str) -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix=f"dexcore-{prefix}-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def started(process: Process) -> Iterator[Process]:
    try:
        process.start()
        yield process
    finally:
        process.stop()


@pytest.fixture(scope="session")
def slapd(certificates: Certificates) -> Iterator[Slapd]:
    """One directory for all tests that only read; see ``people.ldif``."""
    with folder("slapd") as place:
        server = Slapd(place, certificates, (HERE / "people.ldif").read_text("utf-8"))
        with started(server):
            yield server


@pytest.fixture
def make_slapd(certificates: Certificates) -> Iterator[Callable[..., Slapd]]:
    """Start one of the test's own: ``make_slapd(ldif, options, names=…)``."""
    with contextlib.ExitStack() as stack:

        def make(ldif: str = "", options: str = "", **more: Any) -> Slapd:
            place = stack.enter_context(folder("slapd"))
            text = ldif or (HERE / "people.ldif").read_text("utf-8")
            server = Slapd(place, certificates, text, options, **more)
            stack.enter_context(started(server))
            return server

        yield make


# — Active Directory -------------------------------------------------------------------

AD_BASE = "DC=ad,DC=example,DC=org"
AD_USERS = f"CN=Users,{AD_BASE}"


class Samba:
    """A domain controller of Active Directory.  Its ports are fixed, and root's.

    It is a daemon, and the processes of pytest-xdist share it: the first that needs it
    starts it, the last stops it.
    """

    realm, host, tls_host = "AD.EXAMPLE.ORG", "127.0.0.1", "127.0.0.1"
    admin, password = r"AD\Administrator", "Adm1n!pass"

    def __init__(self, place: Path) -> None:
        self._folder = place / "dc"
        self._conf = str(self._folder / "etc" / "smb.conf")
        self._certificates = place / "certificates"
        self.ca = str(self._certificates / "ca.pem")

    def start(self) -> None:
        self._certificates.mkdir()
        self._provision(Certificates(self._certificates))
        # Whoever else wants its ports waits for as long as the daemon lives.
        lock = Path(tempfile.gettempdir()) / "dexcore-samba.lock"
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            command = [program("samba"), "--daemon", "-M", "single", "-s", self._conf]
            subprocess.run(command, check=True, pass_fds=[file.fileno()])
        until = time.monotonic() + _STARTS
        while not self._is_ready():
            assert time.monotonic() < until, self._log()
            time.sleep(0.05)

    def stop(self) -> None:
        pid = int((self._folder / "samba.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + 20
        while Path(f"/proc/{pid}").exists():
            if time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def modify(self, ldif: str) -> None:
        """Change entries, as an administrator does."""
        login = ["-x", "-H", "ldaps://127.0.0.1", "-D", self.admin, "-w", self.password]
        env = {"LDAPTLS_CACERT": self.ca}
        run(program("ldapmodify"), *login, stdin=ldif, env=env)

    def keytab(self, principal: str, folder: Path) -> str:
        """A file with the key of *principal*."""
        path = folder / "service.keytab"
        export = ["domain", "exportkeytab", str(path), f"--principal={principal}"]
        run(program("samba-tool"), *export, "-s", self._conf)
        return str(path)

    def _provision(self, certificates: Certificates) -> None:
        tool, folder = program("samba-tool"), self._folder
        run(
            *(tool, "domain", "provision", f"--targetdir={folder}"),
            *(f"--realm={self.realm}", "--domain=AD", f"--adminpass={self.password}"),
            *("--dns-backend=NONE", "--server-role=dc", "--host-name=dc"),
            *_option(f"pid directory={folder}"),
            *_option(f"ncalrpc dir={folder}/ncalrpc"),
            *_option("interfaces=lo"),
            *_option("bind interfaces only=yes"),
        )
        cert, key = certificates.issue("127.0.0.1", "localhost", common_name="dc")
        own = {
            "server services": "ldap, kdc",
            "log file": str(folder / "log.samba"),
            # Passwords may be tried without TLS too, for the tests that look closer.
            "ldap server require strong auth": "no",
            "tls certfile": cert,
            "tls keyfile": key,
            "tls cafile": certificates.ca,
        }
        lines = Path(self._conf).read_text().partition("[homes]")[0].splitlines()
        lines = [each for each in lines if each.partition("=")[0].strip() not in own]
        lines += [f"{name} = {value}" for name, value in own.items()]
        Path(self._conf).write_text("\n".join(lines))

    def _is_ready(self) -> bool:
        login = ["-x", "-H", "ldaps://127.0.0.1", "-D", self.admin, "-w", self.password]
        done = subprocess.run(
            [program("ldapsearch"), *login, "-s", "base", "-b", "", "vendorName"],
            capture_output=True,
            env={**os.environ, "LDAPTLS_CACERT": self.ca},
        )
        return done.returncode == 0

    def _log(self) -> str:
        return (self._folder / "log.samba").read_text(errors="replace")[-3000:]


def _option(text: str) -> tuple[str, ...]:
    return (f"--option={text}",)


def ad_user(name: str, **attributes: str | int) -> str:
    """LDIF of a user whose password is ``Foo!12345``."""
    quoted = '"Foo!12345"'.encode("utf-16-le")
    made: dict[str, str | int] = {
        "sAMAccountName": name,
        "userPrincipalName": f"{name}@ad.example.org",
        "mail": f"{name}@example.org",
        "userAccountControl": 512,
        **attributes,
    }
    lines = [f"{key}: {value}" for key, value in made.items()]
    return "\n".join(
        [
            f"dn: CN={name},{AD_USERS}",
            "changetype: add",
            "objectClass: user",
            f"unicodePwd:: {base64.b64encode(quoted).decode()}",
            *lines,
            "\n",
        ]
    )


@pytest.fixture(scope="session")
def samba(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    """Active Directory, one for all."""
    if os.geteuid() != 0:
        reason = "Not run: a domain controller has the ports 88, 389 and 636: be root"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    place, users = shared / "samba", shared / "samba-users"
    server = Samba(place)
    with _alone(shared / "samba-lock"):
        count = int(users.read_text()) if users.exists() else 0
        if count == 0:
            place.mkdir()
            server.start()
            server.modify("".join(map(ad_user, ("jane", "john", "mary", "service"))))
            server.modify((HERE / "active-directory.ldif").read_text())
        users.write_text(str(count + 1))
    try:
        yield server
    finally:
        with _alone(shared / "samba-lock"):
            left = int(users.read_text()) - 1
            users.write_text(str(left))
            if left == 0:
                server.stop()
                shutil.rmtree(place)


@attrs.frozen
class Person:
    """Somebody in Active Directory, and three groups around them.

    Nobody else uses them: of ``team``, ``section`` and ``company`` each is in the next.
    """

    server: Samba
    name: str

    password = "Foo!12345"

    @property
    def dn(self) -> str:
        """The name of their entry."""
        return f"CN={self.name},{AD_USERS}"

    @property
    def upn(self) -> str:
        """What they may log in with elsewhere."""
        return f"{self.name}@ad.example.org"

    def group(self, name: str) -> str:
        """The name of one of their groups."""
        return f"{self.name}-{name}"

    def create(self) -> None:
        """Come, and be in a team."""
        self.create_again()
        inner = self.dn
        for each in ("team", "section", "company"):
            dn = f"CN={self.group(each)},{AD_USERS}"
            self.server.modify(
                f"dn: {dn}\nchangetype: add\nobjectClass: group\n"
                f"sAMAccountName: {self.group(each)}\nmember: {inner}\n"
            )
            inner = dn

    def create_again(self) -> None:
        """Come, without a group."""
        self.server.modify(ad_user(self.name))

    def set(self, **attributes: str | int) -> None:
        """Have other values in their entry."""
        changes = [f"replace: {key}\n{key}: {v}\n-" for key, v in attributes.items()]
        lines = [f"dn: {self.dn}", "changetype: modify", *changes]
        self.server.modify("\n".join(lines) + "\n")

    def move(self, source: str, target: str) -> None:
        """Leave a group and join another one."""
        lines = [
            f"dn: CN={self.group(group)},{AD_USERS}\nchangetype: modify\n"
            f"{change}: member\nmember: {self.dn}\n"
            for change, group in (("delete", source), ("add", target))
        ]
        self.server.modify("\n".join(lines))

    def delete(self) -> None:
        """Be gone."""
        self.server.modify(f"dn: {self.dn}\nchangetype: delete\n")


@pytest.fixture
def person(samba: Samba) -> Person:
    """Somebody of the test's own, in a domain that others use as well."""
    made = Person(samba, f"u{uuid.uuid4().hex[:8]}")
    made.create()
    return made


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# — Kerberos ---------------------------------------------------------------------------


class KDC(Process):
    """An MIT Kerberos realm; users have the password ``pw``.

    ``env`` is what a client and a service need in their environment.
    """

    realm = "EXAMPLE.ORG"

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        conf, kdc_conf = folder / "krb5.conf", folder / "kdc.conf"
        conf.write_text(KRB5_CONF.format(folder=folder, port=self.port))
        kdc_conf.write_text(KDC_CONF.format(folder=folder, port=self.port))
        self.env = {"KRB5_CONFIG": str(conf)}
        self._folder = folder
        self._admin = {**self.env, "KRB5_KDC_PROFILE": str(kdc_conf)}
        create = ["create", "-s", "-r", self.realm, "-P", "master"]
        run(program("kdb5_util"), *create, env=self._admin)
        command = [program("krb5kdc"), "-n", "-r", self.realm]
        super().__init__(folder, command, answers(self.port), **self._admin)

    def add(self, *principals: str, password: str = "pw") -> None:
        """Add users."""
        for each in principals:
            self._kadmin(f"addprinc -pw {password} {each}")

    def keytab(self, *principals: str) -> str:
        """A file with the keys of new services."""
        path = self._folder / f"{len(list(self._folder.glob('*.keytab')))}.keytab"
        for each in principals:
            self._kadmin(f"addprinc -randkey {each}")
            self._kadmin(f"ktadd -k {path} {each}")
        return str(path)

    def ticket(self, principal: str, password: str = "pw") -> dict[str, str]:
        """Log somebody in; return the environment of their programs."""
        cache = self._folder / f"{principal.replace('/', '-')}.ticket"
        env = {**self.env, "KRB5CCNAME": f"FILE:{cache}"}
        run(program("kinit"), principal, stdin=f"{password}\n", env=env)
        return env

    def _kadmin(self, query: str) -> None:
        command = [program("kadmin.local"), "-r", self.realm, "-q", query]
        run(*command, env=self._admin)


KRB5_CONF = """
[libdefaults]
 default_realm = EXAMPLE.ORG
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
 udp_preference_limit = 1
 default_ccache_name = FILE:{folder}/nobody.ticket
[realms]
 EXAMPLE.ORG = {{
  kdc = 127.0.0.1:{port}
 }}
 OTHER.ORG = {{
  kdc = 127.0.0.1:{port}
 }}
[domain_realm]
 localhost = EXAMPLE.ORG
"""

KDC_CONF = """
[kdcdefaults]
 kdc_listen = 127.0.0.1:{port}
 kdc_tcp_listen = 127.0.0.1:{port}
[realms]
 EXAMPLE.ORG = {{
  database_name = {folder}/principal
  key_stash_file = {folder}/stash
  acl_file = {folder}/kadm5.acl
  max_life = 10h
  supported_enctypes = aes256-cts-hmac-sha1-96:normal
 }}
[logging]
 kdc = FILE:{folder}/kdc.log
"""


@pytest.fixture(scope="session")
def kdc() -> Iterator[KDC]:
    """A realm; its users are those of the directory, and one more."""
    with folder("kdc") as place, started(KDC(place)) as server:
        assert isinstance(server, KDC)
        server.add("jane", "john", "stranger")
        yield server


@pytest.fixture(scope="session")
def gssapi() -> Any:
    """The library; a failure where everything should be installed."""
    try:
        return importlib.import_module("gssapi")
    except ImportError as error:
        reason = f"Not run: {error}: pip install gssapi (which needs libkrb5-dev)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture
def any_ticket(gssapi: Any) -> Callable[..., str]:
    """Return the header of who has logged in: ``any_ticket(host=…, mech=…)``."""

    def ticket(host: str = "localhost", mech: str = "1.3.6.1.5.5.2") -> str:
        context = gssapi.SecurityContext(
            name=gssapi.Name(f"HTTP@{host}", gssapi.NameType.hostbased_service),
            mech=gssapi.OID.from_int_seq(mech),
            usage="initiate",
        )
        return f"Negotiate {base64.b64encode(context.step()).decode()}"

    return ticket


@pytest.fixture
def realm(kdc: KDC, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Be in the realm of the MIT KDC; ``realm("jane")`` makes jane's ticket ours."""

    def realm(who: str) -> None:
        for name, value in kdc.ticket(who).items():
            monkeypatch.setenv(name, value)

    monkeypatch.setenv("KRB5_CONFIG", kdc.env["KRB5_CONFIG"])
    return realm


@pytest.fixture
def kinit() -> Callable[[str, str], object]:
    """Get somebody's ticket, into the cache that is named in the environment."""

    def kinit(principal: str, password: str) -> object:
        return run(program("kinit"), principal, stdin=f"{password}\n")

    return kinit


@pytest.fixture
def domain(samba: Samba, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Samba:
    """Be in the realm of Active Directory, without a ticket."""
    (tmp_path / "krb5.conf").write_text(AD_KRB5_CONF)
    monkeypatch.setenv("KRB5_CONFIG", str(tmp_path / "krb5.conf"))
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path / 'ticket'}")
    return samba


AD_KRB5_CONF = """
[libdefaults]
 default_realm = AD.EXAMPLE.ORG
 dns_lookup_kdc = false
 dns_canonicalize_hostname = false
 rdns = false
 udp_preference_limit = 1
[realms]
 AD.EXAMPLE.ORG = {
  kdc = 127.0.0.1:88
 }
[domain_realm]
 localhost = AD.EXAMPLE.ORG
"""


@pytest.fixture(scope="session")
def http_keytab(kdc: KDC) -> str:
    """The keys of the web server the tests talk to."""
    return kdc.keytab("HTTP/localhost", "HTTP/127.0.0.1")


# — Servers that misbehave -------------------------------------------------------------


class Hostile:
    """Accepts on a free port and lets *talk* misbehave, a thread for each connection.

    ``seen`` is what came in, in the order of arrival; ``connections`` counts.
    """

    def __init__(self, talk: Callable[[Hostile, socket.socket], None]) -> None:
        self._talk = talk
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.port = self._listening.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self.seen: list[bytes] = []
        self.connections = 0
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def read(self, connection: socket.socket) -> bytes:
        """One request, or b"" at the end."""
        try:
            data = connection.recv(65536)
        except OSError:
            return b""
        self.seen.append(data)
        return data

    def close(self) -> None:
        self.ended.set()
        # A listening socket that is only closed goes on accepting.
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in [self._thread, *self._threads]:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(
                target=self._served, args=(connection,), daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _served(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            self._talk(self, connection)


@pytest.fixture
def hostile() -> Iterator[Callable[..., Hostile]]:
    """Start a server that misbehaves: ``hostile(talk)``."""
    made: list[Hostile] = []

    def start(talk: Callable[[Hostile, socket.socket], None]) -> Hostile:
        made.append(Hostile(talk))
        return made[-1]

    yield start
    for each in made:
        each.close()


class Relay(Hostile):
    """Stands before a directory, and lets it be in trouble.

    Each trouble is a method that returns a context manager; ``requests`` is what was
    asked until now.
    """

    def __init__(self, server: Slapd) -> None:
        self.server = server
        self.trouble = ""
        super().__init__(Relay._pass_on)

    @property
    def requests(self) -> list[bytes]:
        return [each for each in self.seen if each]

    def modify(self, ldif: str) -> None:
        self.server.modify(ldif)

    @contextlib.contextmanager
    def _troubled(self, name: str) -> Iterator[Relay]:
        self.trouble = name
        try:
            yield self
        finally:
            self.trouble = ""

    def down(self) -> contextlib.AbstractContextManager[Relay]:
        return self._troubled("down")

    def slow(self) -> contextlib.AbstractContextManager[Relay]:
        return self._troubled("slow")

    def html(self) -> contextlib.AbstractContextManager[Relay]:
        return self._troubled("html")

    def drip(self) -> contextlib.AbstractContextManager[Relay]:
        return self._troubled("drip")

    def _pass_on(self, client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self.server.port)) as server:
            self._open.append(server)
            back = threading.Thread(target=self._answer, args=(server, client))
            self._threads.append(back)
            back.start()
            while self.trouble != "down" and (data := self.read(client)):
                if self.trouble == "down":
                    break
                server.sendall(data)
            for each in (client, server):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                self._say(data, client)

    def _say(self, data: bytes, client: socket.socket) -> None:
        if self.trouble == "slow":
            self.ended.wait(2)
        elif self.trouble == "html":
            data = b"<!doctype html><title>Welcome</title>"
        elif self.trouble == "drip":
            for byte in data:
                client.sendall(bytes([byte]))
                self.ended.wait(0.1)
            return
        client.sendall(data)


@pytest.fixture
def make_relay() -> Iterator[Callable[[Slapd], Relay]]:
    """Stand before a directory: ``make_relay(server)``."""
    made: list[Relay] = []

    def make(server: Slapd) -> Relay:
        made.append(Relay(server))
        return made[-1]

    yield make
    for each in made:
        each.close()


# — The connector ----------------------------------------------------------------------

PEOPLE: Mapping[str, Any] = {
    "baseDN": f"ou=People,{BASE}",
    "username": "uid",
    "idAttr": "uid",
    "emailAttr": "mail",
    "nameAttr": "cn",
}


@pytest.fixture
def settings(slapd: Slapd) -> Callable[..., dict[str, Any]]:
    """The section ``config``; keys that are given replace those that are there."""

    def make(server: Slapd | None = None, /, **keys: Any) -> dict[str, Any]:
        user_search = {**PEOPLE, **keys.pop("userSearch", {})}
        return {
            "host": (server or slapd).host,
            "insecureNoSSL": True,
            "bindDN": ADMIN,
            "bindPW": ADMIN_PASSWORD,
            "userSearch": user_search,
            **keys,
        }

    return make


@pytest.fixture
async def connect() -> Any:
    """Open a connector as the server does: ``await connect(section)``.

    *patience* is how many seconds a call may take.
    """
    opened = []

    async def connect(section: Mapping[str, Any], patience: float = 10.0) -> Any:
        config = structure(section, Config, where="config")
        log = logging.getLogger("dexcore.connector.ldap")
        context = ConnectorContext("people", Collections(), log, timeout=patience)
        opened.append(await open_ldap(config, context))
        return opened[-1]

    yield connect
    for each in opened:
        await each.close()


@pytest.fixture
def until() -> Callable[..., Any]:
    """Wait until something is so: ``await until(lambda: ...)``."""

    async def until(is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not is_so():  # noqa: ASYNC110 - it happens in another process
                await asyncio.sleep(0.01)

    return until


# — The example app in a real browser --------------------------------------------------


@attrs.frozen
class AppPage:
    """What somebody sees and does who logs in to the example app."""

    page: Page

    async def press(self, name: str) -> None:
        """Click the only button of this *name*."""
        await self.page.get_by_role("button", name=name, exact=True).click()

    @property
    def groups(self) -> Locator:
        """The groups in the ID token, which the app has verified."""
        card = self.page.locator("section").filter(has_text="Signature verified")
        name = self.page.get_by_role("rowheader", name="groups", exact=True)
        return card.locator("tr").filter(has=name)

    @property
    def outcome(self) -> Locator:
        """What came of the last button."""
        return self.page.get_by_role("status")


@pytest.fixture
def open_app(
    requires_program: Callable[..., str],
) -> Callable[..., contextlib.AbstractAsyncContextManager[AppPage]]:
    """Open the example app in Chromium: ``async with open_app(journey) as app``.

    Further arguments are those of ``dexcore.testing.chromium``.
    """
    browser = requires_program("chromium", install="apt-get install chromium")

    @contextlib.asynccontextmanager
    async def open_app(journey: Journey, **options: Any) -> AsyncIterator[AppPage]:
        with _app_of(journey) as url:
            allowed = [journey.issuer, url]
            async with chromium(browser, allowed, **options) as open_page:
                page = await open_page()
                await page.goto(url)
                yield AppPage(page)

    return open_app


@contextlib.contextmanager
def _app_of(journey: Journey) -> Iterator[str]:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    journey.add_client("example", redirect_uris=[f"{url}/callback"])
    command = [sys.executable, str(HERE.parents[1] / "examples" / "example_app")]
    command += ["--issuer", journey.issuer, "--listen", url]
    command += ["--client-id", "example", "--client-secret", CLIENT_SECRET]
    command += ["--redirect-uri", f"{url}/callback"]
    with folder("app") as place, started(Process(place, command, answers(port))):
        yield url
