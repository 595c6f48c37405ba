"""What the README says is so."""

import os
import re
import sys

from pathlib import Path

import attrs
import pytest
import yaml

from dexcore_connector_ldap.config import Config, Kerberos, UserMatcher

from dexcore.config import structure
from dexcore.options import spelling
from dexcore.testing.journey import Journey

HERE = Path(__file__).parent
README = (HERE.parent / "README.md").read_text("utf-8")


def blocks(language):
    found = re.findall(rf"( *)```{language}\n(.*?)\n *```", README, re.DOTALL)
    return [
        "\n".join(line.removeprefix(indent) for line in text.split("\n"))
        for indent, text in found
    ]


def files():
    return [each for each in blocks("yaml") if each.startswith("connectors:")]


@pytest.mark.parametrize("text", files())
def test_every_file_is_right(text):
    [connector] = yaml.safe_load(text)["connectors"]
    connector["config"]["bindPW"] = "secret"
    assert structure(connector["config"], Config)


def test_the_kerberos_section_is_right():
    [text] = [each for each in blocks("yaml") if each.startswith("config:")]
    section = yaml.safe_load(text)["config"]["kerberos"]
    assert structure(section, Kerberos).fallback_to_password


def test_there_are_files_for_openldap_and_active_directory():
    assert len(files()) == 2


def keys(cls):
    for field in attrs.fields(cls):
        inner = field.default.factory if isinstance(field.default, attrs.Factory) else 0
        if isinstance(inner, type) and attrs.has(inner):
            yield from keys(inner)
        else:
            yield spelling(field)


def test_every_key_is_described():
    table = README[README.index("## Every key") : README.index("## Trouble")]
    told = set(re.findall(r"`(?:[\w….]+\.|\.)?(\w+)`", table))
    wanted = {*keys(Config), *keys(UserMatcher)} - {"userSearch"}
    assert wanted - told == set()


def test_the_first_try_works(run_program, free_port, program, tmp_path):
    program("slapd")
    script = blocks("sh")[1]
    assert script.startswith("mkdir -p try-ldap")
    port = free_port()
    env = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    text = f"cd {tmp_path}\nset -e\n{script}".replace("3890", str(port))
    try:
        said = run_program("bash", stdin=text, env=env)
        assert "error" not in said
        file = yaml.safe_load((tmp_path / "try-ldap" / "config.yaml").read_text())
        with Journey(*file["connectors"]) as journey:
            claims = journey.log_in("jane", "foo").claims
        assert (claims["name"], claims["groups"]) == ("Jane Doe", ["admins"])
    finally:
        kill = README[README.index("`kill ") + 1 :].split("`")[0]
        run_program("bash", stdin=f"cd {tmp_path}; {kill}")
