"""API servers for the tests: one in memory, and where Go and etcd are, the real one."""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
import trustme
import yaml

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from dexcore_storage_kubernetes import KubernetesStorage
from dexcore_storage_kubernetes.double import ApiServer
from dexcore_storage_kubernetes.storage import open_cluster

from dexcore.storage import StorageContext

if not (shutil.which("go") and shutil.which("etcd")):
    # It takes a compiler to have the real one.
    collect_ignore = ["test_api_server.py"]


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as server:
        yield server


@pytest.fixture
async def storage(server: ApiServer) -> AsyncIterator[KubernetesStorage]:
    storage = await open_cluster(server.cluster(), "ensure", StorageContext())
    yield storage
    await storage.close()


@pytest.fixture
def manifests() -> Callable[[str], list[dict[str, Any]]]:
    """Return what reads one of the files an operator is given."""
    folder = Path(__file__).parents[3] / "examples" / "kubernetes"
    return lambda name: [*yaml.safe_load_all((folder / name).read_text())]


# — The real one -----------------------------------------------------------------------

KUBERNETES = "1.36.3"

ADMIN = "admin-token"
#: Users by token: an administrator, and the account that examples/kubernetes makes.
TOKENS = f"""\
{ADMIN},admin,1,system:masters
dexcore-token,system:serviceaccount:dexcore:dexcore,2,system:authenticated
"""

_STARTS = 60.0  # seconds; on two busy cores it takes five


class KubeApiServer:
    """A kube-apiserver with an etcd of its own, on free loopback ports."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.authority = trustme.CA(key_type=trustme.KeyType.RSA)
        self._folder = folder
        self._namespaces = itertools.count()
        client, peer, port = _free_ports(3)
        self.url = f"https://127.0.0.1:{port}"
        etcd, peers = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        self._write_files()
        self._commands = [
            [
                "etcd", f"--data-dir={folder / 'etcd'}", "--logger=zap",
                f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}",
                f"--listen-peer-urls={peers}",
                f"--initial-advertise-peer-urls={peers}",
                f"--initial-cluster=default={peers}", "--unsafe-no-fsync",
            ],
            [
                str(program), f"--etcd-servers={etcd}", "--bind-address=127.0.0.1",
                f"--secure-port={port}", "--advertise-address=127.0.0.1",
                f"--tls-cert-file={folder / 'server.pem'}",
                f"--tls-private-key-file={folder / 'server.key'}",
                f"--client-ca-file={folder / 'ca.pem'}",
                f"--token-auth-file={folder / 'tokens.csv'}",
                "--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={folder / 'accounts.key'}",
                f"--service-account-signing-key-file={folder / 'accounts.key'}",
                # Every test has a namespace, without anybody making it first.
                "--disable-admission-plugins=ServiceAccount,NamespaceLifecycle",
            ],
        ]  # fmt: skip
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        for command in self._commands:
            with (self._folder / f"{Path(command[0]).name}.log").open("wb") as log:
                self._processes.append(
                    subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)
                )
        until = time.monotonic() + _STARTS
        while not self._is_ready():
            dead = [one for one in self._processes if one.poll() is not None]
            assert not dead, self._logs()
            assert time.monotonic() < until, self._logs()
            time.sleep(0.1)

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def namespace(self) -> str:
        """Return a namespace nobody has used yet."""
        return f"test-{next(self._namespaces)}"

    def kubeconfig(self, namespace: str, **user: str) -> dict[str, Any]:
        """Return a kubeconfig document."""
        certificate = self.authority.cert_pem.bytes().decode()
        authority = self._folder / "ca.pem"
        assert authority.read_text() == certificate
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "test",
                    "cluster": {
                        "server": self.url,
                        "certificate-authority": str(authority),
                    },
                }
            ],
            "users": [{"name": "me", "user": user or {"token": ADMIN}}],
            "contexts": [
                {
                    "name": "only",
                    "context": {
                        "cluster": "test",
                        "user": "me",
                        "namespace": namespace,
                    },
                }
            ],
        }

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Ask as the administrator, and without our client."""
        request = urllib.request.Request(
            f"{self.url}{path}",
            method=method,
            data=None if body is None else orjson.dumps(body),
            headers={
                "Authorization": f"Bearer {ADMIN}",
                "Content-Type": "application/json",
            },
        )
        context = ssl.create_default_context(cafile=str(self._folder / "ca.pem"))
        with urllib.request.urlopen(request, context=context, timeout=10) as response:
            document: dict[str, Any] = orjson.loads(response.read())
            return document

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """Make an object of a manifest, if it is not there."""
        group, _, version = manifest["apiVersion"].rpartition("/")
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        namespace = manifest["metadata"].get("namespace")
        if namespace:
            path += f"/namespaces/{namespace}"
        try:
            self.call("POST", f"{path}/{manifest['kind'].lower()}s", manifest)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != 409:
                raise

    def _is_ready(self) -> bool:
        try:
            self.call("GET", "/readyz?verbose")
        except orjson.JSONDecodeError:
            return True  # it is ready, and says so in plain text
        except OSError:
            return False
        return True

    def _logs(self) -> str:
        return "\n".join(
            path.read_text()[-3000:] for path in sorted(self._folder.glob("*.log"))
        )

    def _write_files(self) -> None:
        certificate = self.authority.issue_cert("127.0.0.1", "localhost")
        self.authority.cert_pem.write_to_path(self._folder / "ca.pem")
        certificate.cert_chain_pems[0].write_to_path(self._folder / "server.pem")
        certificate.private_key_pem.write_to_path(self._folder / "server.key")
        (self._folder / "tokens.csv").write_text(TOKENS)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        (self._folder / "accounts.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


@pytest.fixture(scope="session")
def kube_apiserver(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[KubeApiServer]:
    """The real one, for all tests of this process."""
    program = _built()
    server = KubeApiServer(program, tmp_path_factory.mktemp("kubernetes"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _built() -> Path:
    """Return the program, built once for all checkouts, outside of this one."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "dexcore-tests"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / f"kube-apiserver-{KUBERNETES}"
    # Test processes that want it at the same time wait for the first.
    with (folder / "kube-apiserver.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            with tempfile.TemporaryDirectory(dir=folder) as made:
                _build(Path(made)).rename(program)
    return program


def _build(folder: Path) -> Path:
    """Build it in *folder*: minutes on two cores."""
    module = f"k8s.io/kubernetes@v{KUBERNETES}"
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}

    def go(*arguments: str) -> bytes:
        done = subprocess.run(
            ["nice", "-n", "19", "go", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        return done.stdout

    (folder / "go.mod").write_text("module wrapper\n")
    published = orjson.loads(go("mod", "download", "-json", module))["GoMod"]
    # Its parts are published beside it, under versions of their own.
    parts = [
        line.split()[-3]
        for line in Path(published).read_text().splitlines()
        if "=> ./staging/" in line
    ]
    version = KUBERNETES.replace("1.", "v0.", 1)
    lines = [
        "module wrapper",
        next(
            line
            for line in Path(published).read_text().splitlines()
            if line.startswith("go ")
        ),
        f"require k8s.io/kubernetes v{KUBERNETES}",
        *(f"replace {part} => {part} {version}" for part in parts),
    ]
    (folder / "go.mod").write_text("\n".join(lines) + "\n")
    stamp = "-X k8s.io/component-base/version."
    major, minor, _ = KUBERNETES.split(".")
    go(
        "build",
        "-mod=mod",
        "-o=kube-apiserver",
        f"-ldflags=-s -w {stamp}gitVersion=v{KUBERNETES} {stamp}gitMajor={major}"
        f" {stamp}gitMinor={minor}",
        "k8s.io/kubernetes/cmd/kube-apiserver",
    )
    return folder / "kube-apiserver"


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
