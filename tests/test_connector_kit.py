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

# Tests in a process of their own, of connectors that keep it waiting.
pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parent.parent

TOYS = Path(__file__).parent / "connector_kit"
NAMES = ("toy", "poster", "gate", "exchange", "openid", "rotator")

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "acme-connectors"
version = "1.0"
dependencies = ["dexcore"]

[project.entry-points.dexcore]
"connector.toy" = "acme_toy"
"connector.poster" = "acme_poster"
"connector.gate" = "acme_gate"
"connector.exchange" = "acme_exchange"
"connector.openid" = "acme_openid"
"connector.rotator" = "acme_rotator"

[tool.hatch.build.targets.wheel]
include = ["acme_*.py"]
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
    site: Path
    folder: Path

    def run(self, *arguments: str) -> str:
        """Return what their Python says, right or wrong."""
        ours = ("PYTHONPATH", "COVERAGE_")
        ran = subprocess.run(
            [self.python, *arguments],
            cwd=self.folder,
            env={k: v for k, v in os.environ.items() if not k.startswith(ours)},
            capture_output=True,
            text=True,
            timeout=280,
        )
        return ran.stdout + ran.stderr

    def test(self, *options: str) -> Outcome:
        """Run their tests as they would."""
        text = self.run(
            *("-m", "pytest", "-q", "-o", "asyncio_mode=auto"),
            *("-o", "asyncio_default_fixture_loop_scope=function"),
            *("-p", "no:cacheprovider", "-W", "error", *options),
        )
        passed = re.search(r"(\d+) passed", text)
        failed = re.findall(r"^(?:FAILED|ERROR) \S+?::(\S+)", text, re.MULTILINE)
        return Outcome(text, int(passed[1]) if passed else 0, tuple(failed))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    """Build and install the wheels, without a network."""
    toys = tmp_path_factory.mktemp("toys")
    (toys / "pyproject.toml").write_text(PROJECT)
    for name in NAMES:
        (toys / f"acme_{name}.py").write_text(toy(name))
    wheels = tmp_path_factory.mktemp("wheels")
    for folder in (ROOT, ROOT / "storage-memory", toys):
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
    for name in NAMES:
        (folder / f"test_{name}.py").write_text(toy(f"{name}_tests"))
    return Stranger(python, site, folder)


def toy(name: str) -> str:
    return (TOYS / f"{name}.py").read_text("utf-8")


def lines(text: str) -> int:
    return len([line for line in text.splitlines() if line.strip()])


def test_what_is_tested_is_what_was_installed(stranger: Stranger) -> None:
    where = "import dexcore, acme_toy; print(dexcore.__file__, acme_toy.__file__)"
    assert stranger.run("-c", where).count(f"{stranger.site}/") == 2


def test_a_connector_of_sixty_lines_is_tested_with_twenty(stranger: Stranger) -> None:
    assert lines(toy("toy")) < 60
    assert lines(toy("toy_tests")) < 20


@pytest.mark.parametrize(
    ("name", "tests"),
    [
        ("toy", 58),
        ("poster", 20),
        ("gate", 72),
        ("exchange", 63),
        ("openid", 52),
        ("rotator", 58),
    ],
)
def test_a_connector_that_is_right_passes(
    stranger: Stranger, name: str, tests: int
) -> None:
    outcome = stranger.test(f"test_{name}.py")
    assert outcome.failed == (), outcome.text
    assert outcome.passed == tests, outcome.text
    assert "skipped" not in outcome.text


# What is wrong: a line, what stands there instead, and the tests that must notice.
WRONG_TOYS = {
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
    "it takes a failure for a mistake": (
        "    return Toy(config, HttpClient(timeout=context.timeout))",
        """    http = HttpClient(timeout=context.timeout)
    try:
        (await http.get(config.url + "/user")).check().object()
    except UpstreamError as error:
        await http.close()
        raise ValueError("The url is wrong.") from error
    return Toy(config, http)
""",
        "test_it_opens_or_says_what_its_upstream_lacks[down] "
        "test_it_opens_or_says_what_its_upstream_lacks[html]",
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

WRONG_POSTERS = {
    "it trusts whoever posts": (
        "if not hmac.compare_digest(wanted.encode(), mac.encode()):",
        "if not said:",
        "test_garbage_logs_nobody_in",
    ),
    "it reads the query": (
        'callback.form.get("SAMLResponse", "")',
        '(callback.form or callback.query).get("SAMLResponse", "")',
        "test_a_form_counts_only_where_it_is_posted",
    ),
    "it takes the answer to another login": (
        'if answer["to"] != callback.connector_data.decode():',
        "if False:",
        "test_an_answer_to_one_login_is_none_to_another",
    ),
    "it takes an answer twice": (
        '"poster:" + mac',
        '"poster:" + __import__("secrets").token_hex()',
        "test_an_answer_counts_once",
    ),
    "it remembers answers in memory": (
        "await self.replays.create(Replay",
        "USED.setdefault(id(self), mac); (lambda *a: None)(Replay",
        "test_an_answer_counts_once",
    ),
    "it trusts what is missing": (
        'said = callback.form.get("SAMLResponse", "")',
        'said = callback.form["SAMLResponse"]',
        "test_it_logs_nobody_in_who_brings_nothing",
    ),
}

WRONG_GATES = {
    "a wrong password is an error": (
        """        if answer.status == 401:
            return None
        return Identity(str(answer.check().object()["id"]))

    async def negotiate""",
        """        return Identity(str(answer.check().object()["id"]))

    async def negotiate""",
        "test_a_wrong_password_is_no_error test_an_unknown_user_is_no_error",
    ),
    "an empty password is asked about": (
        "if not username or not password:",
        "if not username:",
        "test_an_empty_password_is_refused_before_anybody_is_asked",
    ),
    "a name is a pattern": (
        'form = {"name": username, "password": password}',
        'form = {"name": username.strip("*"), "password": password}',
        "test_a_name_that_is_a_trick_is_nobody",
    ),
    "an odd name breaks it": (
        'form = {"name": username, "password": password}',
        'form = {"name": username.encode("ascii").decode(), "password": password}',
        "test_an_odd_name_breaks_nothing",
    ),
    "only the beginning of a password counts": (
        'form = {"name": username, "password": password}',
        'form = {"name": username, "password": password[:13]}',
        "test_an_odd_password_is_wrong",
    ),
    "it blames the password": (
        """answer = await self.http.post(f"{self.config.url}/login", form=form)
        if answer.status == 401:
            return None
        return Identity(str(answer.check().object()["id"]))

    async def negotiate""",
        """try:
            answer = await self.http.post(f"{self.config.url}/login", form=form)
        except Exception:
            return None
        if answer.status != 200:
            return None
        return Identity(str(answer.check().object()["id"]))

    async def negotiate""",
        "test_of_an_upstream_in_trouble_the_connector_says_so[down-login] "
        "test_of_an_upstream_in_trouble_the_connector_says_so[status-login]",
    ),
    "every ticket is good": (
        'form = {"name": "jane", "password": ticket}',
        'form = {"name": "jane", "password": "correct horse"}',
        "test_no_ticket_but_the_right_one_logs_in",
    ),
    "no ticket is good": (
        'form = {"name": "jane", "password": ticket}',
        'form = {"name": "jane", "password": "x"}',
        "test_a_ticket_logs_in",
    ),
    "a ticket is of somebody else": (
        'form = {"name": "jane", "password": ticket}',
        'return Identity("8") if ticket == "dGlja2V0" else None; form = {}',
        "test_a_ticket_logs_in "
        "test_of_an_upstream_in_trouble_the_connector_says_so[status-negotiate]",
    ),
    "it challenges for something else": (
        "return Challenge()",
        'return Challenge("Basic")',
        "test_without_a_ticket_it_asks_for_one_or_leaves_it",
    ),
}

WRONG_EXCHANGES = {
    "every token is good": (
        'form = {"token": token}',
        'form = {"token": "c"}',
        "test_garbage_tells_of_nobody",
    ),
    "every type of token is good": (
        'if not token_type.endswith(":access_token"):',
        "if not token_type:",
        "test_a_token_of_another_type_is_denied",
    ),
    "a token tells of somebody else": (
        "return await self.who(token)",
        "return attrs.evolve(await self.who(token), user_id='8')",
        "test_a_token_tells_who_it_is",
    ),
    "the secret goes out": (
        "urlencode({'to': return_to})",
        "urlencode({'to': return_to, 'key': self.config.api_key})",
        "test_the_way_out_leads_back",
    ),
    "the way out is no address": (
        'return f"{self.config.url}/logout',
        'return f"/logout',
        "test_the_way_out_leads_back",
    ),
    "it trips over what comes back": (
        'if "error" in callback.query:',
        'if callback.query["state"] and "error" in callback.query:',
        "test_whatever_comes_back_from_there_is_answered",
    ),
    "an upstream that is down denies": (
        "if answer.status == 401:",
        "if answer.status >= 400:",
        "test_of_an_upstream_in_trouble_the_connector_says_so[status-token_identity]",
    ),
}

_WRONG_ID_TOKEN = "test_an_id_token_that_is_wrong_logs_nobody_in"

WRONG_OPENIDS = {
    **{
        f"it does not look at {claim}": (
            f'"{claim}": claims',
            f'"{claim}": True or claims',
            f"{_WRONG_ID_TOKEN}[{fault}]",
        )
        for claim, fault in {
            "iss": "iss",
            "aud": "aud",
            "azp": "azp",
            "nonce": "nonce",
            "exp": "expired",
            "at_hash": "at_hash",
        }.items()
    },
    "it knows nobody by name": (
        '"sub": bool(claims.get("sub")),',
        '"sub": claims.setdefault("sub", "0"),',
        f"{_WRONG_ID_TOKEN}[sub]",
    ),
    "it does not verify": (
        'verify_with_jwks(tokens["id_token"], keys, ("ES256",))',
        '__import__("json").loads(base64.urlsafe_b64decode('
        'tokens["id_token"].split(".")[1] + "==")), 0',
        f"{_WRONG_ID_TOKEN}[none] {_WRONG_ID_TOKEN}[hs256] "
        f"{_WRONG_ID_TOKEN}[kid] {_WRONG_ID_TOKEN}[signature]",
    ),
    "it takes anybody's code": (
        '"nonce": claims.get("nonce") == nonce,',
        '"nonce": claims.get("nonce"),',
        "test_a_code_of_another_login_is_none_of_this",
    ),
}

WRONG_ROTATORS = {
    "it loses what was replaced": (
        "await self.context.keep(identity, token.encode())",
        "pass",
        "test_a_refresh_that_failed_can_be_tried_again",
    ),
    "it keeps what was replaced": (
        "connector_data=token.encode())",
        'connector_data=b"c")',
        "test_who_is_gone_is_denied",
    ),
}

WRONG = {
    (name, fault): case
    for name, cases in zip(
        NAMES,
        (
            WRONG_TOYS,
            WRONG_POSTERS,
            WRONG_GATES,
            WRONG_EXCHANGES,
            WRONG_OPENIDS,
            WRONG_ROTATORS,
        ),
        strict=True,
    )
    for fault, case in cases.items()
}


@pytest.fixture(scope="module")
def failed(stranger: Stranger) -> Mapping[tuple[str, str], set[str]]:
    """Return by fault which of the tests that must notice it have failed."""
    classes, wanted = [], []
    for number, ((name, _), (right, wrong, tests)) in enumerate(WRONG.items()):
        text = toy(name)
        assert text.count(right) == 1, right
        text = text.replace(right, wrong).replace(f'"{name}"', f'"{name}{number}"')
        extra = "from secrets import token_urlsafe\nBEGUN = set()\nUSED = {}\n"
        (stranger.folder / f"wrong{number}.py").write_text(extra + text)
        right_class = f"Test{name.capitalize()}"
        classes.append(
            f"import wrong{number}\n"
            f"from test_{name} import {right_class}\n"
            f"class TestWrong{number}({right_class}):\n"
            f"    type = '{name}{number}'\n"
            f"    plugins = (wrong{number},)\n"
        )
        wanted += [
            f"test_wrong.py::TestWrong{number}::{test}" for test in tests.split()
        ]
    (stranger.folder / "test_wrong.py").write_text("\n".join(classes))
    outcome = stranger.test(*wanted)
    assert "no tests ran" not in outcome.text, outcome.text
    return {
        fault: {
            name.partition("::")[2].partition("[")[0]
            for name in outcome.failed
            if name.startswith(f"TestWrong{number}::")
        }
        for number, fault in enumerate(WRONG)
    }


@pytest.mark.parametrize("fault", WRONG, ids=": ".join)
def test_a_connector_that_is_wrong_fails(
    failed: Mapping[tuple[str, str], set[str]], fault: tuple[str, str]
) -> None:
    tests = WRONG[fault][2].split()
    assert failed[fault] == {test.partition("[")[0] for test in tests}
