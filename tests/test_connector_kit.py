"""The contract kit, used by a stranger: from installed wheels, in an empty folder.

And with a connector that is wrong, in one way after the other: each time the kit must
say so.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv

from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parent.parent

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "acme-connector-toy"
version = "1.0"
dependencies = ["dexcore"]

[project.entry-points.dexcore]
"connector.toy" = "acme_toy"

[tool.hatch.build.targets.wheel]
include = ["acme_toy.py"]
"""

TOY = '''\
"""Log in at Toy, which speaks a little OAuth 2.0."""

from urllib.parse import urlencode

import attrs

from dexcore import hookimpl
from dexcore.connector import CallbackConnector, ConnectorType, Identity, Redirect
from dexcore.connector import RefreshConnector
from dexcore.errors import AccessDenied, UpstreamError
from dexcore.http import HttpClient
from dexcore.options import option


@attrs.frozen
class Config:
    url: str = option(help="Where Toy is.")
    client_secret: str = option(secret=True, help="What Toy gave us.")


@attrs.frozen(eq=False)
class Toy(CallbackConnector, RefreshConnector):
    config: Config
    http: HttpClient

    async def begin(self, scopes, callback_url, state):
        query = {"redirect_uri": callback_url, "state": state, "response_type": "code"}
        return Redirect(f"{self.config.url}/authorize?{urlencode(query)}")

    async def finish(self, scopes, callback):
        if callback.query.get("error") == "access_denied":
            raise AccessDenied("You were not let in.")
        if "error" in callback.query or not callback.query.get("code"):
            raise UpstreamError("Toy sent no code.")
        form = {"code": callback.query["code"], "secret": self.config.client_secret}
        answer = await self.http.post(f"{self.config.url}/token", form=form)
        return await self.who(answer.check().object()["access_token"])

    async def refresh(self, scopes, identity):
        return await self.who(identity.connector_data.decode())

    async def who(self, token):
        headers = {"Authorization": f"Bearer {token}"}
        answer = await self.http.get(f"{self.config.url}/user", headers=headers)
        if answer.status == 401:
            raise AccessDenied("Toy does not know you any more.")
        user = answer.check().object()
        return Identity(str(user["id"]), user["name"], connector_data=token.encode())

    async def close(self):
        await self.http.close()


async def open_toy(config, context):
    return Toy(config, HttpClient(timeout=context.timeout))


@hookimpl
def dex_connector_types():
    return [ConnectorType("toy", Config, open_toy)]
'''

TESTS = """\
import aiohttp.web, pytest
from dexcore.testing.connector import LiveRefreshContract, OAuthContract
from dexcore.testing.connector import UpstreamContract
from dexcore.testing.upstreams import Upstream, agree

class TestToy(UpstreamContract, OAuthContract, LiveRefreshContract):
    type = "toy"
    @pytest.fixture
    def upstream(self):
        with Upstream({"/authorize": agree, "/token": {"access_token": "t"}}) as toy:
            toy.answers["/user"] = {"id": 7, "name": "jane"}
            yield toy
    @pytest.fixture
    def config(self, upstream):
        return {"url": upstream.url, "clientSecret": "s3cret"}
    async def change(self, upstream):
        upstream.answers["/user"] = {"id": 7, "name": "Jane"}
    async def remove(self, upstream):
        upstream.answers["/user"] = lambda seen: aiohttp.web.Response(status=401)
"""


@attrs.frozen
class Outcome:
    """What pytest said."""

    text: str
    passed: int
    failed: tuple[str, ...]


@attrs.frozen
class Stranger:
    """Somebody with an environment of their own, and a folder with two files."""

    python: Path
    module: Path
    folder: Path

    def test(self, *options: str) -> Outcome:
        """Run their tests as they would."""
        ran = subprocess.run(
            [
                *(self.python, "-m", "pytest", "-q", "-o", "asyncio_mode=auto"),
                *("-o", "asyncio_default_fixture_loop_scope=function"),
                *("-p", "no:cacheprovider", "-W", "error", *options),
            ],
            cwd=self.folder,
            env={k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")},
            capture_output=True,
            text=True,
            timeout=110,
        )
        text = ran.stdout + ran.stderr
        passed = re.search(r"(\d+) passed", text)
        failed = re.findall(r"^(?:FAILED|ERROR) \S+?::(\S+)", text, re.MULTILINE)
        return Outcome(text, int(passed[1]) if passed else 0, tuple(failed))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    """Build and install the wheels, without a network."""
    toy = tmp_path_factory.mktemp("toy")
    (toy / "pyproject.toml").write_text(PROJECT)
    (toy / "acme_toy.py").write_text(TOY)
    wheels = tmp_path_factory.mktemp("wheels")
    for folder in (ROOT, ROOT / "storage-memory", toy):
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
        subprocess.run(
            [*build, "-d", wheels], cwd=folder, check=True, capture_output=True
        )
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    [site] = home.glob("lib/*/site-packages")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    subprocess.run(
        [*pip, "--no-index", "--no-deps", *wheels.iterdir()],
        check=True,
        env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore"},
    )
    # What we depend on is taken from where we have it, after what is installed there.
    [ours] = {path for path in sys.path if path.endswith("site-packages")}
    (site / "zz-dependencies.pth").write_text(ours)
    folder = tmp_path_factory.mktemp("empty")
    (folder / "test_toy.py").write_text(TESTS)
    return Stranger(python, site / "acme_toy.py", folder)


def lines(text: str) -> int:
    return len([line for line in text.splitlines() if line.strip()])


def test_a_connector_of_sixty_lines_is_tested_with_twenty(stranger: Stranger) -> None:
    assert lines(TOY) < 60
    assert lines(TESTS) < 20
    where = [stranger.python, "-c", "import dexcore; print(dexcore.__file__)"]
    told = subprocess.run(where, cwd=stranger.folder, capture_output=True, text=True)
    assert told.stdout.startswith(str(stranger.module.parent))

    outcome = stranger.test()

    assert outcome.failed == (), outcome.text
    assert outcome.passed == 47, outcome.text
    assert "skipped" not in outcome.text


# What is wrong: a line, what stands there instead, and the tests that must notice.
WRONG = {
    "it is no Connector": (
        "return Toy(config, HttpClient(timeout=context.timeout))",
        "return object()",
        "test_it_opens_and_closes_and_closes_again",
    ),
    "all openings share one": (
        "return Toy(config, HttpClient(timeout=context.timeout))",
        "globals().setdefault('toy', Toy(config, HttpClient())); return toy",
        "test_two_are_open_side_by_side",
    ),
    "the id is a number": (
        'Identity(str(user["id"]),',
        'Identity(user["id"],',
        "test_an_identity_is_what_the_contract_says",
    ),
    "the id changes": (
        'Identity(str(user["id"]),',
        "Identity(token_urlsafe(),",
        "test_a_user_has_the_same_id_each_time test_a_refresh_knows_the_same_user",
    ),
    "the secret is in the repr": (
        'option(secret=True, help="What Toy gave us.")',
        'option(help="What Toy gave us.")',
        "test_secrets_are_in_no_repr_and_no_log test_secret_options_are_declared",
    ),
    "the secret is in the log": (
        '"secret": self.config.client_secret}',
        '"secret": self.config.client_secret}; '
        '__import__("logging").getLogger("acme").debug("sending %s", form)',
        "test_secrets_are_in_no_repr_and_no_log",
    ),
    "the secret is in the address": (
        '"response_type": "code"}',
        '"response_type": "code", "s": self.config.client_secret}',
        "test_the_browser_takes_the_state_and_no_secret",
    ),
    "the state is lost": (
        '"state": state, ',
        '"state": "fixed", ',
        "test_the_browser_takes_the_state_and_no_secret "
        "test_a_whole_login_ends_in_a_verified_id_token "
        "test_a_callback_counts_once_and_in_the_browser_that_began",
    ),
    "it remembers in memory": (
        'if "error" in callback.query or not callback.query.get("code"):',
        'if "error" in callback.query or id(self) not in BEGUN:',
        "test_another_replica_finishes_what_this_one_began",
    ),
    "who cancels is an error": (
        'raise AccessDenied("You were not let in.")',
        'raise UpstreamError("access_denied")',
        "test_who_is_refused_upstream_is_denied",
    ),
    "an error with a code logs in": (
        'if "error" in callback.query or not',
        "if not",
        "test_an_error_from_upstream_logs_nobody_in",
    ),
    "a code that is missing is a KeyError": (
        ' or not callback.query.get("code"):',
        ":",
        "test_without_a_code_nobody_logs_in test_it_logs_nobody_in_who_brings_nothing",
    ),
    "it waits for ever": (
        "HttpClient(timeout=context.timeout)",
        "HttpClient(timeout=1000)",
        "test_of_an_upstream_in_trouble_the_connector_says_so[slow-login]",
    ),
    "it reads without a limit": (
        "HttpClient(timeout=context.timeout)",
        "HttpClient(timeout=9, limit=1 << 30)",
        "test_of_an_upstream_in_trouble_the_connector_says_so[huge-login] "
        "test_of_an_upstream_in_trouble_the_connector_says_so[bomb-refresh]",
    ),
    "it does not look at the status": (
        "user = answer.check().object()",
        "user = {'id': 7, 'name': ''} if answer.status == 500 else answer.object()",
        "test_of_an_upstream_in_trouble_the_connector_says_so[status-login]",
    ),
    "it takes a failure for a refusal": (
        "if answer.status == 401:",
        "if answer.status != 200:",
        "test_of_an_upstream_in_trouble_the_connector_says_so[status-refresh] "
        "test_a_refresh_that_failed_can_be_tried_again",
    ),
    "it trusts the shape of answers": (
        'answer.check().object()["access_token"]',
        "answer.check().text().split(chr(34))[3]",
        "test_of_an_upstream_in_trouble_the_connector_says_so[html-login]",
    ),
    "it refreshes out of memory": (
        "return await self.who(identity.connector_data.decode())",
        "return identity",
        "test_a_refresh_tells_who_the_user_is_now test_who_is_gone_is_denied "
        "test_the_app_of_who_is_gone_gets_no_tokens",
    ),
    "it forgets its token": (
        "connector_data=token.encode())",
        'connector_data=b"\\xff")',
        "test_another_replica_refreshes_years_later",
    ),
    "who is gone is an error": (
        'raise AccessDenied("Toy does not know you any more.")',
        'raise UpstreamError("401")',
        "test_who_is_gone_is_denied",
    ),
}


@pytest.fixture(scope="module")
def failed(stranger: Stranger) -> Mapping[str, set[str]]:
    """Return by fault which of the tests that must notice it have failed."""
    classes = ["from test_toy import TestToy"]
    wanted = []
    for number, (right, wrong, tests) in enumerate(WRONG.values()):
        assert TOY.count(right) == 1
        text = TOY.replace(right, wrong).replace('"toy"', f'"toy{number}"')
        extra = "from secrets import token_urlsafe\nBEGUN = set()\n"
        (stranger.folder / f"toy{number}.py").write_text(extra + text)
        classes.append(
            f"import toy{number}\n"
            f"class TestToy{number}(TestToy):\n"
            f"    type = 'toy{number}'\n"
            f"    plugins = (toy{number},)\n"
        )
        file = f"test_wrong.py::TestToy{number}"
        wanted += [f"{file}::{test}" for test in tests.split()]
    (stranger.folder / "test_wrong.py").write_text("\n".join(classes))
    outcome = stranger.test(*wanted)
    assert "no tests ran" not in outcome.text, outcome.text
    return {
        fault: {
            name.partition("::")[2].partition("[")[0]
            for name in outcome.failed
            if name.startswith(f"TestToy{number}::")
        }
        for number, fault in enumerate(WRONG)
    }


@pytest.mark.parametrize("fault", WRONG)
def test_a_connector_that_is_wrong_fails(
    failed: Mapping[str, set[str]], fault: str
) -> None:
    tests = WRONG[fault][2].split()
    assert failed[fault] == {test.partition("[")[0] for test in tests}
