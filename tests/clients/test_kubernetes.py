"""Kubernetes lets people in: a real API server, kubectl, and what the manual shows."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import re
import socket
import ssl
import subprocess
import time

from collections import deque
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import pytest
import requests
import trustme
import yaml

from aiohttp import web

from dexcore.jose import SigningKey, generate
from dexcore.signer import JWKS_MAX_AGE
from dexcore.testing import servers
from dexcore.testing.background import Background
from dexcore.testing.books import kid
from dexcore.testing.browser import SyncBrowser
from dexcore.testing.golang import kubernetes_program
from dexcore.testing.kubernetes import kube_apiserver
from dexcore.testing.lives import Lives

# The first one in a cache builds the programs.
pytestmark = pytest.mark.timeout(1800)

ROOT = Path(__file__).parents[2]
MANUAL = (ROOT / "docs/kubernetes.md").read_text("utf-8")
PLUGIN = ROOT / "examples/kubernetes/kubectl_login.py"
# bcrypt of "password"
HASH = "$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W"
USERS = {
    "jane@example.com": ["admins"],
    "joe@example.com": ["guests"],
    "ann@elsewhere.example": ["admins"],
}
DAY = 86400
LOOK = "/api/v1/namespaces/default/configmaps"


# — The manual -------------------------------------------------------------------------


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", MANUAL, re.S | re.M)


def documents(kind):
    """Return what the manual shows of a kind of object, or with a key of that name."""
    found = [yaml.safe_load(text) for text in blocks("yaml")]
    return [one for one in found if one.get("kind") == kind or kind in one]


def exchanges():
    """Return requests and the answers to them."""
    shown = [text.split("\n\n", 1) for text in blocks("http")]
    return zip(shown[::2], shown[1::2], strict=True)


def is_part(written, answered):
    """Say whether all that is *written* is in the answer."""
    if isinstance(written, dict):
        return all(is_part(each, answered[name]) for name, each in written.items())
    return written == answered


# — Issuers ----------------------------------------------------------------------------


class Issuer:
    """A server of ours, and its password grant for whoever wants tokens quickly."""

    def __init__(self, lives, life, ca):
        self.lives, self.life, self.ca = lives, life, ca

    def token(self, **form):
        answer = requests.post(f"{self.life.origin}/dex/token", data=form, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def log_in(self, user="jane@example.com", client="kubernetes"):
        return self.token(
            grant_type="password",
            client_id=client,
            username=user,
            password="password",
            scope="openid email groups offline_access",
        )

    def refresh(self, tokens, client="kubernetes"):
        return self.token(
            grant_type="refresh_token",
            client_id=client,
            refresh_token=tokens["refresh_token"],
        )


def configuration(folder, issuer, **signer):
    clients = [client for one in documents("staticClients") for client in one.values()]
    return {
        "issuer": issuer,
        "storage": {"type": "sqlite3", "config": {"file": str(folder / "dex.db")}},
        "enablePasswordDB": True,
        "oauth2": {
            "passwordConnector": "local",
            "grantTypes": [
                "refresh_token",
                "password",
                "urn:ietf:params:oauth:grant-type:device_code",
            ],
        },
        "signer": {"type": "local", "config": {"keysRotationPeriod": "1m", **signer}},
        "staticPasswords": [
            {
                "email": email,
                "hash": HASH,
                "username": email,
                "userID": email,
                "groups": groups,
            }
            for email, groups in USERS.items()
        ],
        "staticClients": [*clients[0], {"id": "other", "name": "O", "public": True}],
    }


@pytest.fixture(scope="module")
def authority():
    return trustme.CA(key_type=trustme.KeyType.RSA)


@pytest.fixture(scope="module")
def issuer(tmp_path_factory, authority):
    """An issuer that answers https itself."""
    folder = tmp_path_factory.mktemp("issuer")
    ca = folder / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(folder / "tls.crt")
    issued.private_key_pem.write_to_path(folder / "tls.key")
    address = f"127.0.0.1:{free_port()}"
    files = {"tlsCert": str(folder / "tls.crt"), "tlsKey": str(folder / "tls.key")}
    with Lives(folder) as lives:
        settings = configuration(folder, f"https://{address}/dex")
        life = lives.begin(settings | {"web": {"https": address, **files}})
        yield Issuer(lives, life, ca)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


# — Clusters ---------------------------------------------------------------------------


@contextlib.contextmanager
def installed():
    """Without Go and etcd there is no API server: a failure where there should be."""
    try:
        yield
    except FileNotFoundError as error:
        reason = f"Not run: {error} To install it: go.dev, apt-get install etcd-server"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="module")
def etcd():
    with contextlib.ExitStack() as stack:
        with installed():
            found = stack.enter_context(servers.etcd())
        yield found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, etcd, issuer):
    """An API server with the flags of the manual, and its role binding."""
    folder = tmp_path_factory.mktemp("flags")
    (flags,) = blocks("sh")
    with contextlib.ExitStack() as stack:
        with installed():
            options = here(flags, issuer).split()
            api = stack.enter_context(kube_apiserver(folder, etcd, *options))
        (binding,) = documents("ClusterRoleBinding")
        api.apply(binding)
        yield api


def here(text, issuer):
    """Return *text* with our places for the manual's."""
    text = text.replace("https://id.example.com/dex", issuer.life.issuer)
    return text.replace("/etc/kubernetes/pki/id.pem", str(issuer.ca))


# — Letting in -------------------------------------------------------------------------


def test_the_api_server_answers_as_the_manual_says(cluster, issuer):
    issuer.lives.forward(-2 * DAY)
    values = {"expired": issuer.log_in()["id_token"]}
    issuer.lives.forward(2 * DAY)
    for name in ("jane", "joe"):
        values[name] = issuer.log_in(f"{name}@example.com")["id_token"]
    shown = list(exchanges())
    assert len(shown) == 4
    for (head, *body), (status, answer) in shown:
        first, authorization, *_ = head.splitlines()
        method, path, _ = first.split()
        token = values[re.search(r"<(\w+)>", authorization)[1]]
        really = requests.request(
            method,
            cluster.url + path,
            data=body[0] if body else None,
            headers={
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json",
            },
            verify=str(cluster.folder / "ca.pem"),
            timeout=30,
        )
        assert status.split()[1] == str(really.status_code), really.text
        document = really.json()
        said = document["status"]["userInfo"] if method == "POST" else document
        assert is_part(json.loads(answer), said), said


def test_a_token_of_another_client_is_nobodys(cluster, issuer):
    own, other = issuer.log_in(), issuer.log_in(client="other")
    assert cluster.ask(LOOK, own["id_token"])[0] == 200
    assert cluster.ask(LOOK, other["id_token"])[0] == 401


# — kubectl ----------------------------------------------------------------------------


@pytest.fixture
def kubectl(tmp_path, cluster, issuer):
    """Return what starts kubectl with the users of the manual's n-th kubeconfig."""
    with installed():
        program = kubernetes_program("kubectl")
    home = tmp_path / "home"
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "c")}

    def start(users):
        file = tmp_path / "kubeconfig"
        if users is not None:
            (user,) = (one["user"] for one in users)
            file.write_text(yaml.safe_dump(cluster.kubeconfig("default", **user)))
        return subprocess.Popen(
            [str(program), f"--kubeconfig={file}", "auth", "whoami", "-o=json"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return SimpleNamespace(start=start, home=home, file=tmp_path / "kubeconfig")


def who(process):
    """Return whom kubectl is let in as."""
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return json.loads(out)["status"]["userInfo"]["username"]


def expired():
    payload = base64.urlsafe_b64encode(b'{"exp":1}').decode().rstrip("=")
    return f"e30.{payload}."


def test_kubectl_logs_in_once_and_then_refreshes(kubectl, issuer):
    config = next(one for one in documents("Config") if "clusters" in one)
    users = yaml.safe_load(here(yaml.safe_dump(config["users"]), issuer))
    users[0]["user"]["exec"]["command"] = str(PLUGIN)
    asking = kubectl.start(users)
    line = asking.stderr.readline()
    assert "To log in, open https://" in line, line + asking.stderr.read()
    connect(line.split()[-1], issuer.ca.read_text())
    assert who(asking) == "oidc:jane@example.com"
    # It remembers, and asks nobody.
    assert who(kubectl.start(None)) == "oidc:jane@example.com"
    (kept,) = (kubectl.home / "c/kubectl-login").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    before = json.loads(kept.read_text())
    kept.write_text(json.dumps(before | {"id_token": expired()}))
    # A refresh token is good once, but two at a time do not get into each other's way.
    both = [kubectl.start(None), kubectl.start(None)]
    assert [who(one) for one in both] == ["oidc:jane@example.com"] * 2
    after = json.loads(kept.read_text())
    assert after["refresh_token"] != before["refresh_token"]


def connect(url, ca):
    """Log Jane in at the address with a device's code."""
    with SyncBrowser(stop_at="http://127.0.0.1:1/", ca=ca) as browser:
        code = browser.authorize(url)
        form = browser.submit(code, code.forms[0])
        jane = {"login": "jane@example.com", "password": "password"}
        asked = browser.submit(form, form.forms[0], jane)
        assert "Device connected" in browser.submit(asked, asked.forms[0]).words


def test_kubectl_refreshes_by_itself(kubectl, issuer):
    config = next(one for one in documents("users") if "clusters" not in one)
    tokens = issuer.log_in()
    text = here(yaml.safe_dump(config["users"]), issuer)
    text = text.replace("<id_token>", expired())
    text = text.replace("<refresh_token>", tokens["refresh_token"])
    assert who(kubectl.start(yaml.safe_load(text))) == "oidc:jane@example.com"
    kept = yaml.safe_load(kubectl.file.read_text())["users"][0]["user"]
    refreshed = kept["auth-provider"]["config"]
    assert refreshed["refresh-token"] != tokens["refresh_token"]
    assert who(kubectl.start(None)) == "oidc:jane@example.com"


# — Keys that change -------------------------------------------------------------------

#: How much faster the issuer's clock goes than the API server's, which nobody can move.
LAPSE = 120
STEP = 0.1  # seconds, by the clock on the wall


class Lapse:
    """A proxy that answers https for an issuer whose time flies.

    It translates how long keys may be kept into the API server's time.  That fetches
    anew half a minute before they expire, so half a minute is added: where the two
    differ by a moment, it keeps them for longer than it would.
    """

    def __init__(self, authority):
        self.fetched = 0
        self.issuer = self.origin = ""
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(self._tls)

    async def open(self):
        application = web.Application()
        application.router.add_get("/{path:.*}", self._pass_on)
        self._runner = web.AppRunner(application)
        self._session = aiohttp.ClientSession()
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        return self._runner.addresses[0][1]

    async def close(self):
        await self._session.close()
        await self._runner.cleanup()

    async def _pass_on(self, request):
        async with self._session.get(self.origin + request.path) as answer:
            body = await answer.read()
        headers = {"Content-Type": "application/json"}
        if request.path.endswith("/keys"):
            self.fetched += 1
            assert f"max-age={JWKS_MAX_AGE}," in answer.headers["Cache-Control"]
            headers["Cache-Control"] = f"max-age={JWKS_MAX_AGE // LAPSE + 30}"
        return web.Response(status=answer.status, body=body, headers=headers)


@pytest.fixture(scope="module")
def lapse(authority):
    with Background() as background:
        proxy = Lapse(authority)
        proxy.issuer = f"https://127.0.0.1:{background.call(proxy.open())}/dex"
        yield proxy
        background.call(proxy.close())


@pytest.fixture(scope="module")
def hasty(tmp_path_factory, lapse):
    """Return what starts the issuer whose time flies, with an algorithm."""
    folder = tmp_path_factory.mktemp("hasty")
    with Lives(folder) as lives:
        port = free_port()

        def begin(algorithm):
            settings = configuration(folder, lapse.issuer, algorithm=algorithm)
            life = lives.begin(settings, port)
            lapse.origin = life.origin
            return Issuer(lives, life, None)

        yield begin


@pytest.fixture(scope="module")
def by_file(tmp_path_factory, etcd, lapse, hasty, authority):
    """An API server with the manual's file, and the issuer it trusts."""
    folder = tmp_path_factory.mktemp("by-file")
    (document,) = documents("AuthenticationConfiguration")
    (trusted,) = document["jwt"]
    trusted["issuer"]["url"] = lapse.issuer
    trusted["issuer"]["certificateAuthority"] = authority.cert_pem.bytes().decode()
    file = folder / "authentication.yaml"
    file.write_text(yaml.safe_dump(document))
    issuer = hasty("RS256")
    with contextlib.ExitStack() as stack:
        with installed():
            option = f"--authentication-config={file}"
            api = stack.enter_context(kube_apiserver(folder, etcd, option))
        wait_until_it_trusts(api, issuer)
        yield SimpleNamespace(api=api, issuer=issuer)


def wait_until_it_trusts(api, issuer):
    """Return when the API server has found the issuer, which it does by and by."""
    until = time.monotonic() + 60
    while api.ask(LOOK, issuer.log_in()["id_token"])[0] == 401:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_whom_the_file_does_not_want_is_nobody(by_file):
    ann = by_file.issuer.log_in("ann@elsewhere.example")
    joe = by_file.issuer.log_in("joe@example.com")
    assert by_file.api.ask(LOOK, ann["id_token"])[0] == 401
    assert by_file.api.who(joe["id_token"])["uid"] == claims(joe["id_token"])["sub"]


def test_no_token_is_refused_while_keys_and_their_algorithm_change(
    by_file, hasty, lapse
):
    """The API server is asked with new tokens, and with old ones it has not seen yet.

    A stranger's tokens make it fetch the keys as often as it is willing to: whenever a
    key begins to sign, it has fetched them lately, and does not do so again.
    """
    api, issuer = by_file.api, by_file.issuer
    strange, later, kids, algorithms = stranger(lapse.issuer), deque(), [], []
    tokens = issuer.log_in()
    while len(kids) < 4:
        began = time.monotonic()
        issuer.lives.forward(LAPSE * STEP)
        issuer.life.look()
        later.append(issuer.refresh(tokens))
        tokens = issuer.refresh(later[-1])
        assert api.who(tokens["id_token"])["username"] == "oidc:jane@example.com"
        if len(later) > 40:
            assert api.who(later.popleft()["id_token"])
        assert api.ask(LOOK, next(strange))[0] == 401
        if kid(tokens["id_token"]) not in kids:
            kids.append(kid(tokens["id_token"]))
            algorithms.append(header(tokens["id_token"])["alg"])
            if len(kids) == 3:
                issuer.life.stop()
                issuer = hasty("ES256")
        time.sleep(max(0.0, STEP - (time.monotonic() - began)))
    for old in later:
        assert api.who(old["id_token"])
    assert algorithms == ["RS256", "RS256", "RS256", "ES256"]
    assert lapse.fetched >= 4


def stranger(issuer):
    """Yield tokens of *issuer* that somebody else has signed."""
    for number in itertools.count():
        key = SigningKey.load(generate("ES256"))
        claims = {"iss": issuer, "aud": "kubernetes", "sub": str(number), "exp": 2**32}
        yield key.sign(json.dumps(claims).encode())


def header(token):
    return decoded(token.split(".")[0])


def claims(token):
    return decoded(token.split(".")[1])


def decoded(text):
    return json.loads(base64.urlsafe_b64decode(text + "=="))
