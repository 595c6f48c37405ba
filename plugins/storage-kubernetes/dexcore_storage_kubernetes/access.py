"""How to reach the API server, and as whom: in the cluster, or by a kubeconfig."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import os
import ssl
import tempfile
import time

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import attrs
import orjson
import yaml

from dexcore.errors import ConfigError

from .config import Kubernetes

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_REREAD = 30.0  # seconds; the kubelet renews tokens long before they expire


@attrs.frozen
class Authorization:
    """The ``Authorization`` header: always the same one, or a token from a file."""

    header: str = attrs.field(default="", repr=False)
    file: Path | None = None
    _read: dict[str, Any] = attrs.field(factory=dict, repr=False)

    async def get(self) -> str:
        """Return the header, or nothing; raise ``OSError`` if its file is not there.

        A file is read again after 30 seconds, as the kubelet replaces it.
        """
        if self.file is None:
            return self.header
        if self._read.get("until", 0.0) < time.monotonic():
            text = await asyncio.to_thread(self.file.read_text)
            self._read["header"] = f"Bearer {text.strip()}"
            self._read["until"] = time.monotonic() + _REREAD
        return str(self._read["header"])

    def forget(self) -> bool:
        """Read the file again next time; return whether that can help."""
        return self._read.pop("until", None) is not None


@attrs.frozen
class Cluster:
    """An API server, and the namespace our objects are in."""

    server: str
    namespace: str
    authorization: Authorization = Authorization()
    tls: ssl.SSLContext | None = attrs.field(default=None, repr=False)
    server_name: str | None = None
    proxy: str | None = None


def find_cluster(config: Kubernetes, log: logging.Logger) -> Cluster:
    """Return the cluster *config* names; raise ``ConfigError``.  Reads files."""
    if config.in_cluster:
        return in_cluster(os.environ)
    try:
        text = Path(config.kube_config_file).read_text()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"storage.config.kubeConfigFile: {config.kube_config_file} cannot be read:"
            f" {error}"
        ) from error
    return of_kubeconfig(text, Path(config.kube_config_file).parent, log)


# — In the cluster ---------------------------------------------------------------------


def in_cluster(
    environment: Mapping[str, str], folder: Path = SERVICE_ACCOUNT
) -> Cluster:
    """Return the cluster of the pod this process is in; raise ``ConfigError``."""
    host = environment.get("KUBERNETES_SERVICE_HOST")
    port = environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise ConfigError(
            "storage.config.inCluster: KUBERNETES_SERVICE_HOST and"
            " KUBERNETES_SERVICE_PORT are not set; is this a pod?"
        )
    try:
        token = (folder / "token").read_text()
        tls = _tls((folder / "ca.crt").read_text())
        namespace = (
            environment.get("KUBERNETES_POD_NAMESPACE")
            or _namespace_claim(token)
            or (folder / "namespace").read_text().strip()
        )
    except (OSError, ValueError) as error:
        raise ConfigError(f"storage.config.inCluster: {error}") from error
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return Cluster(
        server=server,
        namespace=namespace,
        authorization=Authorization(file=folder / "token"),
        tls=tls,
        proxy=_proxy(server),
    )


def _namespace_claim(token: str) -> str:
    """Return the namespace a token of the old kind is from."""
    try:
        payload = token.split(".")[1]
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * 3))
        namespace = claims.get("kubernetes.io/serviceaccount/namespace", "")
    except (AttributeError, IndexError, ValueError):
        return ""
    return namespace if isinstance(namespace, str) else ""


# — A kubeconfig file ------------------------------------------------------------------


def of_kubeconfig(text: str, folder: Path, log: logging.Logger) -> Cluster:
    """Return the cluster of the current context; raise ``ConfigError``.

    Relative paths are from the working directory, as dex reads them, or else from
    *folder*, as kubectl does.
    """
    try:
        return _of_kubeconfig(yaml.safe_load(text), folder, log)
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise ConfigError(
            f"storage.config.kubeConfigFile: {error or type(error).__name__}"
        ) from error


def _of_kubeconfig(document: Any, folder: Path, log: logging.Logger) -> Cluster:
    if not isinstance(document, Mapping):
        raise ValueError("this is not a kubeconfig file")
    context = _current_context(document)
    cluster = _named(document, "clusters", "cluster", context.get("cluster"))
    user = _named(document, "users", "user", context.get("user"))
    server = str(cluster.get("server") or "").rstrip("/")
    if urlsplit(server).scheme not in ("http", "https"):
        raise ValueError(f"the server {server!r} is not an http or https URL")
    insecure = bool(cluster.get("insecure-skip-tls-verify"))
    if insecure:
        log.warning(
            "kubeconfig: insecure-skip-tls-verify: anybody on the way to %s can read"
            " and change what is stored",
            server,
        )
    ca = _content(cluster, "certificate-authority", folder)
    certificate = _content(user, "client-certificate", folder)
    key = _content(user, "client-key", folder)
    return Cluster(
        server=server,
        namespace=str(context.get("namespace") or "default"),
        authorization=_authorization(user, folder),
        tls=_tls(ca, certificate, key, insecure) if server[:6] == "https:" else None,
        server_name=cluster.get("tls-server-name") or None,
        proxy=cluster.get("proxy-url") or _proxy(server),
    )


def _current_context(document: Mapping[str, Any]) -> Mapping[str, Any]:
    name = document.get("current-context")
    contexts = document.get("contexts") or []
    if not name:
        if len(contexts) != 1:
            raise ValueError("there is no current-context")
        name = contexts[0]["name"]
    return _named(document, "contexts", "context", name)


def _named(
    document: Mapping[str, Any], section: str, member: str, name: Any
) -> Mapping[str, Any]:
    for one in document.get(section) or []:
        if one.get("name") == name:
            found = one.get(member) or {}
            if not isinstance(found, Mapping):
                raise ValueError(f"the {member} {name!r} is not a mapping")
            return found
    raise ValueError(f"there is no {member} {name!r}")


def _content(section: Mapping[str, Any], key: str, folder: Path) -> str:
    """Return the PEM a section has under *key*, as data or in a file."""
    data = section.get(f"{key}-data")
    if data:
        try:
            return base64.b64decode(data, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{key}-data is not base64 of a PEM file") from error
    path = section.get(key)
    return _found(path, folder).read_text() if path else ""


def _found(path: str, folder: Path) -> Path:
    there = Path(path)
    return there if there.exists() else folder / path


def _authorization(user: Mapping[str, Any], folder: Path) -> Authorization:
    for unsupported in ("exec", "auth-provider", "as"):
        if user.get(unsupported):
            raise ValueError(
                f"users that need {unsupported!r} are not supported; use a token or a"
                " client certificate"
            )
    if user.get("token"):
        return Authorization(f"Bearer {user['token']}")
    if user.get("tokenFile"):
        path = _found(user["tokenFile"], folder)
        path.read_text()  # a file that is not there is better known at the start
        return Authorization(file=path)
    if user.get("username"):
        pair = f"{user['username']}:{user.get('password') or ''}".encode()
        return Authorization(f"Basic {base64.b64encode(pair).decode()}")
    return Authorization()


# — Both -------------------------------------------------------------------------------


def _tls(
    ca: str, certificate: str = "", key: str = "", insecure: bool = False
) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The authorities of many clusters lack extensions that RFC 5280 wants.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate:
        # Python reads them from a file only; nobody else can, and not for long.
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(f"{certificate}\n{key}\n")
            file.flush()
            context.load_cert_chain(file.name)
    return context


def _proxy(server: str) -> str | None:
    parts = urlsplit(server)
    if proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get(parts.scheme)
