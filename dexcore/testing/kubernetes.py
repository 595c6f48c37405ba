"""A real API server of Kubernetes on a loopback port, for tests::

    with servers.etcd() as etcd, kube_apiserver(folder, etcd) as api:
        api.apply(manifest)
        status, document = api.ask("/api/v1/namespaces/default/pods", token)

Its administrator has the token :data:`ADMIN`; whoever else may do what depends on the
roles that are bound.  It takes Go, which builds it once, etcd, and trustme.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .golang import kubernetes_program
from .servers import Server

__all__ = ["ADMIN", "KubeApiServer", "kube_apiserver"]

ADMIN = "admin-token"

#: Users by token: an administrator, and the account that examples/kubernetes makes.
_TOKENS = f"""\
{ADMIN},admin,1,system:masters
dexcore-token,system:serviceaccount:dexcore:dexcore,2,system:authenticated
"""

_STARTS = 60.0  # seconds; on two busy cores it takes five
_STOPS = 5.0


class KubeApiServer:
    """A kube-apiserver on a free port, that keeps its objects in *etcd*.

    *options* are flags beside its own.  ``folder`` has what it needs: its certificate
    authority in ``ca.pem``, and its log.
    """

    def __init__(
        self, program: Path, folder: Path, etcd: Server, options: tuple[str, ...]
    ) -> None:
        # Only who starts one needs it installed.
        trustme: Any = importlib.import_module("trustme")
        self.authority = trustme.CA(key_type=trustme.KeyType.RSA)
        self.folder = folder
        self._namespaces = itertools.count()
        port = _free_port()
        self.url = f"https://127.0.0.1:{port}"
        self._log = folder / "kube-apiserver.log"
        self._write_files()
        self._command = [
            str(program),
            f"--etcd-servers=http://127.0.0.1:{etcd.port}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            "--advertise-address=127.0.0.1",
            f"--tls-cert-file={folder / 'server.pem'}",
            f"--tls-private-key-file={folder / 'server.key'}",
            f"--client-ca-file={folder / 'ca.pem'}",
            f"--token-auth-file={folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={folder / 'accounts.key'}",
            f"--service-account-signing-key-file={folder / 'accounts.key'}",
            # Every test has a namespace, without anybody making it first.
            "--disable-admission-plugins=ServiceAccount,NamespaceLifecycle",
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with self._log.open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - our own command
                self._command, stdout=log, stderr=log, cwd=self.folder
            )
        self._process = process
        until = time.monotonic() + _STARTS
        while not self._is_ready():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(self._log.read_text()[-3000:])
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop it, by force if it takes too long."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOPS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def namespace(self) -> str:
        """Return a namespace nobody has used yet."""
        return f"test-{next(self._namespaces)}"

    def kubeconfig(self, namespace: str, **user: Any) -> dict[str, Any]:
        """Return a kubeconfig document for *user*, or for the administrator."""
        cluster = {
            "server": self.url,
            "certificate-authority": str(self.folder / "ca.pem"),
        }
        context = {"cluster": "test", "user": "me", "namespace": namespace}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "me", "user": user or {"token": ADMIN}}],
            "contexts": [{"name": "only", "context": context}],
            "current-context": "only",
        }

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return what the administrator is answered.

        Raises ``urllib.error.HTTPError`` for a refusal.
        """
        with self._send(method, path, body, ADMIN) as response:
            document: dict[str, Any] = orjson.loads(response.read())
            return document

    def ask(self, path: str, token: str) -> tuple[int, dict[str, Any]]:
        """Return status and document of what the bearer of *token* is answered."""
        try:
            with self._send("GET", path, None, token) as response:
                return response.status, orjson.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, orjson.loads(error.read())

    def who(self, token: str) -> dict[str, Any]:
        """Return the ``userInfo`` of the bearer of *token*, as the server knows it.

        Raises ``urllib.error.HTTPError`` if it takes the token for nobody's.
        """
        version = "authentication.k8s.io/v1"
        review = {"apiVersion": version, "kind": "SelfSubjectReview"}
        path = f"/apis/{version}/selfsubjectreviews"
        with self._send("POST", path, review, token) as response:
            user: dict[str, Any] = orjson.loads(response.read())["status"]["userInfo"]
            return user

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

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, token: str
    ) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the address is ours
            f"{self.url}{path}",
            method=method,
            data=None if body is None else orjson.dumps(body),
            headers={
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json",
            },
        )
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        # No proxy stands between here and the loopback.
        direct = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=context),
        )
        return direct.open(request, timeout=10)

    def _is_ready(self) -> bool:
        try:
            self.call("GET", "/readyz?verbose")
        except orjson.JSONDecodeError:
            return True  # it is ready, and says so in plain text
        except OSError:
            return False
        return True

    def _write_files(self) -> None:
        certificate = self.authority.issue_cert("127.0.0.1", "localhost")
        self.authority.cert_pem.write_to_path(self.folder / "ca.pem")
        certificate.cert_chain_pems[0].write_to_path(self.folder / "server.pem")
        certificate.private_key_pem.write_to_path(self.folder / "server.key")
        (self.folder / "tokens.csv").write_text(_TOKENS)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        (self.folder / "accounts.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


@contextlib.contextmanager
def kube_apiserver(
    folder: Path, etcd: Server, *options: str
) -> Iterator[KubeApiServer]:
    """Run one in *folder*, with *options* beside its own.

    Raises ``FileNotFoundError`` if Go is not installed.
    """
    if shutil.which("go") is None:
        raise FileNotFoundError("Go is not installed.")
    api = KubeApiServer(kubernetes_program("kube-apiserver"), folder, etcd, options)
    try:
        api.start()
        yield api
    finally:
        api.stop()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port
