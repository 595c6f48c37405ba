"""Reaching the API server: kubeconfig files, service accounts, TLS."""

from __future__ import annotations

import base64
import logging
import ssl

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trustme
import yaml

from dexcore_storage_kubernetes import Kubernetes, open_storage
from dexcore_storage_kubernetes.access import in_cluster, of_kubeconfig
from dexcore_storage_kubernetes.double import ApiServer
from dexcore_storage_kubernetes.storage import open_cluster

from dexcore.errors import ConfigError
from dexcore.options import InvalidOption
from dexcore.storage import Client, StorageContext, StorageUnavailable

LOG = logging.getLogger("test")


def kubeconfig(
    cluster: dict[str, Any] | None = None,
    user: dict[str, Any] | None = None,
    **changes: Any,
) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [
                {"name": "there", "context": {"cluster": "none", "user": "none"}},
                {
                    "name": "here",
                    "context": {"cluster": "c", "user": "u", "namespace": "ns"},
                },
            ],
            "clusters": [
                {"name": "c", "cluster": cluster or {"server": "http://127.0.0.1:1"}}
            ],
            "users": [{"name": "u", "user": user or {}}],
            **changes,
        }
    )


# — Options ----------------------------------------------------------------------------


def test_one_way_in_must_be_chosen() -> None:
    with pytest.raises(InvalidOption, match="must specify either 'inCluster' or"):
        Kubernetes()
    with pytest.raises(InvalidOption, match="cannot specify both 'inCluster' and"):
        Kubernetes(in_cluster=True, kube_config_file="kubeconfig")
    with pytest.raises(InvalidOption, match="neither 'ensure' nor 'check'"):
        Kubernetes(in_cluster=True, crd_handling="maybe")  # type: ignore[arg-type]


# — Kubeconfig -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "header"),
    [
        ({}, ""),
        ({"token": "t"}, "Bearer t"),
        ({"username": "jane", "password": "p:w"}, "Basic amFuZTpwOnc="),
        ({"token": "t", "username": "jane", "password": "p"}, "Bearer t"),
    ],
)
async def test_the_current_context_says_where_and_as_whom(
    tmp_path: Path, user: dict[str, str], header: str
) -> None:
    found = of_kubeconfig(kubeconfig(user=user), tmp_path, LOG)
    assert (found.server, found.namespace) == ("http://127.0.0.1:1", "ns")
    assert await found.authorization.get() == header
    assert "t" not in repr(found.authorization).replace("Authorization", "")[:12]


def test_a_single_context_is_the_current_one(tmp_path: Path) -> None:
    context = {"name": "only", "context": {"cluster": "c", "user": "u"}}
    text = kubeconfig(contexts=[context], **{"current-context": ""})
    assert of_kubeconfig(text, tmp_path, LOG).namespace == "default"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[", "while parsing"),
        ("- a", "not a kubeconfig file"),
        (kubeconfig(**{"current-context": ""}), "no current-context"),
        (kubeconfig(**{"current-context": "nowhere"}), "no context 'nowhere'"),
        (kubeconfig(**{"current-context": "there"}), "no cluster 'none'"),
        (kubeconfig({"server": "ftp://x"}), "not an http or https URL"),
        (kubeconfig({"namespace": "x"}), "not an http or https URL"),
        (kubeconfig(user={"exec": {"command": "aws"}}), "'exec' are not supported"),
        (kubeconfig(user={"client-certificate-data": "?"}), "not base64"),
        (kubeconfig(user={"tokenFile": "nowhere"}), "No such file"),
        (
            kubeconfig({"server": "https://x", "certificate-authority": "nowhere"}),
            "No such file",
        ),
    ],
)
def test_what_is_wrong_with_a_kubeconfig_is_said(
    tmp_path: Path, text: str, why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        of_kubeconfig(text, tmp_path, LOG)


async def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere cannot be read"):
        await open_storage(Kubernetes(kube_config_file=str(tmp_path / "nowhere")))


async def test_a_token_file_is_found_beside_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t\n")
    found = of_kubeconfig(kubeconfig(user={"tokenFile": "token"}), tmp_path, LOG)
    assert await found.authorization.get() == "Bearer t"


# — TLS --------------------------------------------------------------------------------


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def secure(authority: trustme.CA) -> AsyncIterator[ApiServer]:
    """A server that lets in whoever has a certificate of the authority."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.configure_trust(tls)
    tls.verify_mode = ssl.CERT_REQUIRED
    async with ApiServer(tls=tls) as server:
        yield server


@pytest.fixture
def user(authority: trustme.CA) -> dict[str, str]:
    certificate = authority.issue_cert("jane@example.com")
    chain = b"".join(one.bytes() for one in certificate.cert_chain_pems)
    return {
        "client-certificate-data": base64.b64encode(chain).decode(),
        "client-key-data": base64.b64encode(
            certificate.private_key_pem.bytes()
        ).decode(),
    }


async def test_server_and_client_show_each_other_certificates(
    secure: ApiServer, authority: trustme.CA, user: dict[str, str], tmp_path: Path
) -> None:
    """As data or in files."""
    ca = authority.cert_pem.bytes()
    (tmp_path / "ca.pem").write_bytes(ca)
    for member in user:
        file = tmp_path / member.removesuffix("-data")
        file.write_bytes(base64.b64decode(user[member]))
    for cluster, person in (
        ({"certificate-authority-data": base64.b64encode(ca).decode()}, user),
        (
            {"certificate-authority": "ca.pem"},
            {
                "client-certificate": "client-certificate",
                "client-key": str(tmp_path / "client-key"),
            },
        ),
    ):
        file = tmp_path / "kubeconfig"
        file.write_text(kubeconfig({"server": secure.url, **cluster}, person))
        storage = await open_storage(Kubernetes(kube_config_file=str(file)))
        await storage.ping()
        await storage.close()


@pytest.mark.parametrize("why", ["no certificate", "unknown authority"])
async def test_who_is_not_who_they_should_be_is_not_talked_to(
    secure: ApiServer,
    authority: trustme.CA,
    user: dict[str, str],
    tmp_path: Path,
    why: str,
) -> None:
    known = authority if why == "no certificate" else trustme.CA()
    ca = base64.b64encode(known.cert_pem.bytes()).decode()
    cluster = {"server": secure.url, "certificate-authority-data": ca}
    text = kubeconfig(cluster, None if why == "no certificate" else user)
    with pytest.raises(StorageUnavailable, match="cannot be reached"):
        await open_cluster(
            of_kubeconfig(text, tmp_path, LOG), "ensure", StorageContext()
        )


async def test_insecure_skip_tls_verify_is_heeded_with_a_warning(
    secure: ApiServer,
    user: dict[str, str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = {"server": secure.url, "insecure-skip-tls-verify": True}
    found = of_kubeconfig(kubeconfig(cluster, user), tmp_path, LOG)
    assert "anybody on the way to" in caplog.text
    storage = await open_cluster(found, "ensure", StorageContext())
    await storage.ping()
    await storage.close()


async def test_the_name_in_the_certificate_may_be_another(
    authority: trustme.CA, tmp_path: Path
) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("kubernetes.internal").configure_cert(tls)
    async with ApiServer(tls=tls) as server:
        cluster = {
            "server": server.url,
            "tls-server-name": "kubernetes.internal",
            "certificate-authority-data": base64.b64encode(
                authority.cert_pem.bytes()
            ).decode(),
        }
        found = of_kubeconfig(kubeconfig(cluster), tmp_path, LOG)
        storage = await open_cluster(found, "ensure", StorageContext())
        await storage.ping()
        await storage.close()


# — In the cluster ---------------------------------------------------------------------

SERVICE = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture
def account(tmp_path: Path, authority: trustme.CA) -> Path:
    """What a pod finds of its service account."""
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "namespace").write_text("of-the-file\n")
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    return tmp_path


def old_token(namespace: str) -> str:
    claims = f'{{"kubernetes.io/serviceaccount/namespace":"{namespace}"}}'
    return f"x.{base64.urlsafe_b64encode(claims.encode()).decode().rstrip('=')}.x"


def test_a_pod_finds_its_server_and_namespace(account: Path) -> None:
    """The namespace of the environment, else of an old token, else of the file."""
    found = in_cluster(SERVICE, account)
    assert (found.server, found.namespace) == ("https://10.0.0.1:443", "of-the-file")
    (account / "token").write_text(old_token("of-the-token"))
    assert in_cluster(SERVICE, account).namespace == "of-the-token"
    environment = {**SERVICE, "KUBERNETES_POD_NAMESPACE": "of-the-environment"}
    assert in_cluster(environment, account).namespace == "of-the-environment"


def test_an_address_of_version_six_is_put_in_brackets(account: Path) -> None:
    environment = {**SERVICE, "KUBERNETES_SERVICE_HOST": "fd00::1"}
    assert in_cluster(environment, account).server == "https://[fd00::1]:443"


def test_what_is_no_pod_says_so(account: Path) -> None:
    with pytest.raises(ConfigError, match="is this a pod"):
        in_cluster({}, account)
    for missing in ("namespace", "ca.crt", "token"):
        (account / missing).unlink()
        with pytest.raises(ConfigError, match=f"No such file.*{missing}"):
            in_cluster(SERVICE, account)


async def test_a_token_that_was_replaced_is_read_again(
    account: Path, server: ApiServer
) -> None:
    """At the latest when the server refuses the old one."""
    server.token = "first"
    found = attrs.evolve(in_cluster(SERVICE, account), server=server.url, tls=None)
    storage = await open_cluster(found, "ensure", StorageContext())
    server.token = "second"
    (account / "token").write_text("second\n")
    await storage.clients.create(Client("c"))
    assert len(server.objects("oauth2clients", "of-the-file")) == 1
    server.token = "third"
    with pytest.raises(StorageUnavailable, match="401"):
        await storage.clients.create(Client("d"))
    await storage.close()
