"""A stranger's connector, built from the manual and installed as anybody would.

It is a distribution of its own, outside this repository: what the manual shows is taken
out of it word by word, installed with pip, and used by another Python process.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

from pathlib import Path

import pytest

MANUAL = Path(__file__).parent.parent / "docs" / "plugins.md"
NAME = "acme-connector-htpasswd"

# bcrypt, cost 10, of "password".
HASH = "$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W"

CONFIG = """
issuer: http://127.0.0.1:5556/dex
storage: {{type: memory}}
web: {{http: 127.0.0.1:5556}}
connectors:
- {{type: htpasswd, id: staff, name: Staff, config: {{file: {file}}}}}
- {{type: mockPassword, id: mock, name: Mock, config: {{username: j, password: p}}}}
"""

LOGIN = """
import asyncio, sys
from dexcore import plugins
from dexcore.config import load
from dexcore.connector import Scopes
from dexcore.errors import UpstreamUnavailable
from dexcore.server.app import open_server
from dexcore.server.connectors import guarded

async def main():
    server = await open_server(load(sys.argv[1]), plugins.find())
    connectors = server.parts.connectors
    for id, name, password in (("staff", "jane", "password"), ("mock", "j", "p")):
        try:
            opened = await connectors.get(id)
        except UpstreamUnavailable as error:
            print(id, "is unavailable:", error)
            continue
        login = opened.connector.login(Scopes(), name, password)
        print(id, "logs in", (await guarded(opened, login)).user_id)
    await server.close()

asyncio.run(main())
"""


def block(language: str, after: str) -> str:
    """Return the first block in *language* that comes after *after* in the manual."""
    text = MANUAL.read_text().partition(after)[2]
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder pip installed the connector of the manual into."""
    source = tmp_path_factory.mktemp("source")
    (source / "pyproject.toml").write_text(block("toml", "First `pyproject.toml`"))
    module = block("python", "`acme_connector_htpasswd.py`")
    (source / "acme_connector_htpasswd.py").write_text(module)
    target = tmp_path_factory.mktemp("site-packages")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index"]
    alone = ["--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, *alone, "--target", str(target), str(source)],
        check=True,
        env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore"},
    )
    return target


@pytest.fixture
def installed(built: Path, tmp_path: Path) -> Path:
    """Return a copy of what was installed, to be broken."""
    target = tmp_path / "site-packages"
    target.mkdir()
    for each in built.rglob("*"):
        if each.is_file() and "__pycache__" not in each.parts:
            copy = target / each.relative_to(built)
            copy.parent.mkdir(exist_ok=True, parents=True)
            copy.write_bytes(each.read_bytes())
    return target


@pytest.fixture
def config(tmp_path: Path) -> Path:
    users = tmp_path / "htpasswd"
    users.write_text(f"jane:{HASH}\n")
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG.format(file=users))
    return file


def python(installed: Path, *arguments: str) -> str:
    """Return what another Python prints, with *installed* on its path."""
    result = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def break_syntax(installed: Path) -> None:
    module = installed / "acme_connector_htpasswd.py"
    module.write_text(module.read_text() + "\ndef broken(:\n")


def reports(installed: Path) -> dict[str, dict[str, object]]:
    listed = json.loads(python(installed, "-m", "dexcore", "plugins", "--json"))
    return {each["distribution"]: each for each in listed}


def test_it_appears_among_the_plugins(installed: Path) -> None:
    assert reports(installed)[NAME] == {
        "distribution": NAME,
        "version": "1.0",
        "entry_point": "connector.htpasswd",
        "kind": "connector",
        "offers": ["htpasswd"],
        "contract": "1.0",
        "state": "ok",
        "error": "",
    }


def test_it_looks_as_the_manual_shows(installed: Path) -> None:
    shown = block("console", "Install it beside dexcore")
    [wanted] = [line for line in shown.splitlines() if line.startswith(NAME)]
    table = python(installed, "-m", "dexcore", "plugins")
    assert wanted.split() in [line.split() for line in table.splitlines()]


def test_its_options_are_in_the_schema(installed: Path) -> None:
    code = (
        "import dexcore.plugins as p;"
        "print(p.find().offers('connector')['htpasswd'].config)"
    )
    assert "acme_connector_htpasswd.Config" in python(installed, "-c", code)
    schema = python(installed, "-m", "dexcore", "schema")
    assert "The htpasswd file; hashes are bcrypt, cost 10 to 16." in schema


def test_a_file_that_names_it_is_checked(installed: Path, config: Path) -> None:
    python(installed, "-m", "dexcore", "check", str(config))


def test_its_users_log_in(installed: Path, config: Path) -> None:
    said = python(installed, "-c", LOGIN, str(config)).splitlines()
    assert said[-2:] == ["staff logs in jane", "mock logs in 0-385-28089-0"]


def test_its_tests_in_the_manual_pass(installed: Path, tmp_path: Path) -> None:
    section = MANUAL.read_text().partition("## Testing a connector")[2]
    blocks = re.findall(
        r"```python\n(.*?)```", section.partition("\n## ")[0], re.DOTALL
    )
    assert len(blocks) == 3
    (tmp_path / "test_htpasswd.py").write_text("\n".join(blocks))
    options = ["-q", "-n0", "-o", "asyncio_mode=auto", "-p", "no:cacheprovider"]
    said = python(installed, "-m", "pytest", *options, "-c", os.devnull, str(tmp_path))
    promised = int(block("console", "test_htpasswd.py` needs").split()[-2])
    assert f"{promised + 2} passed" in said


def test_with_a_syntax_error_in_it_the_others_still_log_in(
    installed: Path, config: Path
) -> None:
    break_syntax(installed)
    said = python(installed, "-c", LOGIN, str(config)).splitlines()
    assert said[-1] == "mock logs in 0-385-28089-0"
    assert said[-2].startswith("staff is unavailable: ")
    assert f"{NAME} 1.0 (entry point connector.htpasswd) failed at import" in said[-2]
    assert "SyntaxError" in said[-2]


def test_with_a_syntax_error_in_it_the_report_names_it(installed: Path) -> None:
    break_syntax(installed)
    found = reports(installed)
    assert found[NAME]["state"] == "broken"
    assert f"{NAME} 1.0" in str(found[NAME]["error"])
    assert "SyntaxError" in str(found[NAME]["error"])
    assert found["dexcore"]["state"] == "ok"


def test_the_check_of_a_file_names_a_broken_plugin(
    installed: Path, config: Path
) -> None:
    break_syntax(installed)
    result = subprocess.run(
        [sys.executable, "-m", "dexcore", "check", str(config)],
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert NAME in result.stdout + result.stderr
