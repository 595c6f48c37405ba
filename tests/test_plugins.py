"""Plugins are found by name, imported when named, and kept behind a firewall."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import types

from collections.abc import Callable
from pathlib import Path

import click
import pytest

from dexcore import CONTRACT_VERSION, plugins
from dexcore.errors import PluginError
from dexcore.plugins import Plugins

CONNECTOR = """
import attrs
from dexcore import hookimpl
from dexcore.connector import ConnectorType

@attrs.frozen
class Config:
    host: str = "localhost"

async def open_toy(config, context):
    raise NotImplementedError

@hookimpl
def dex_connector_types():
    return [ConnectorType({name!r}, Config, open_toy)]
"""

EXTENSION = """
from pathlib import Path
from dexcore import hookimpl

@hookimpl
def dex_claims_types():
    return [lambda client, claims, scopes: {{"toy": client.id}}]

@hookimpl
def dex_template_dirs():
    return [Path({folder!r})]
"""

COMMAND = """
import click
from dexcore import hookimpl

@click.command("hello")
def hello():
    click.echo("Hello!")

@hookimpl
def dex_commands():
    return [hello]
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return what puts a distribution onto the path, as an installer would."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(
        name: str, source: str, *entry_points: str, version: str = "1.0"
    ) -> None:
        module = name.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        lines = "\n".join(f"{each} = {module}" for each in entry_points)
        (info / "entry_points.txt").write_text(f"[dexcore]\n{lines}\n")
        monkeypatch.delitem(sys.modules, module, raising=False)

    return install


def broken(action: Callable[[], object]) -> PluginError:
    with pytest.raises(PluginError) as caught:
        action()
    return caught.value


# — finding ----------------------------------------------------------------------------


def test_an_installed_plugin_is_found_by_its_type(install: Install) -> None:
    install("acme-toy-1", CONNECTOR.format(name="toy"), "connector.toy")
    offer = plugins.find().connector_type("toy")
    assert offer.name == "toy"
    assert offer.config().host == "localhost"


def test_the_core_finds_its_own_plugins() -> None:
    found = plugins.find()
    assert found.connector_type("local").name == "local"
    assert found.connector_type("mockCallback").name == "mockCallback"
    assert found.connector_type("mockPassword").name == "mockPassword"
    assert found.signer_type("local").name == "local"


def test_nothing_is_imported_that_the_file_does_not_name(
    install: Install, tmp_path: Path
) -> None:
    install("acme-toy-2", CONNECTOR.format(name="toy"), "connector.toy")
    install("acme-other-2", CONNECTOR.format(name="other"), "connector.other")
    install("acme-bad-2", "raise SystemExit(3)", "connector.bad", "command.bad")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import dexcore.plugins
watched = ("acme_toy_2", "acme_other_2", "dexcore.builtin.", "dexcore_")
def loaded():
    return sorted(name for name in sys.modules if name.startswith(watched))
found = dexcore.plugins.find()
print(loaded())
found.connector_type("toy")
print(loaded())
found.connector_type("mockCallback")
print(loaded())
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines() == [
        "[]",
        "['acme_toy_2']",
        "['acme_toy_2', 'dexcore.builtin.mock_connectors']",
    ]


def test_a_bare_entry_point_stands_for_any_kind(install: Install) -> None:
    install("acme-toy-3", CONNECTOR.format(name="toy"), "toy")
    found = plugins.find()
    assert found.connector_type("toy").name == "toy"
    [report] = [each for each in found.report() if each.distribution == "acme-toy-3"]
    assert (report.kind, report.offers, report.state) == ("connector", ("toy",), "ok")
    assert "toy" in found.offers("connector")


def test_a_type_no_entry_point_names_is_found_by_looking(install: Install) -> None:
    install("acme-toy-4", CONNECTOR.format(name="hidden"), "connector.something")
    assert plugins.find().connector_type("hidden").name == "hidden"


def test_a_plugin_of_a_test_needs_no_entry_point() -> None:
    toy = types.ModuleType("toy_of_a_test")
    exec(CONNECTOR.format(name="toy"), toy.__dict__)
    assert plugins.find(toy).connector_type("toy").name == "toy"


def test_the_same_plugin_given_twice_is_no_conflict(install: Install) -> None:
    install("acme-toy-5", CONNECTOR.format(name="toy"), "connector.toy")
    import acme_toy_5  # type: ignore[import-not-found]

    found = plugins.find(acme_toy_5)
    assert found.connector_type("toy").name == "toy"
    assert "toy" in plugins.find(acme_toy_5).offers("connector")


@pytest.mark.parametrize(
    ("kind", "name", "requirement"),
    [
        ("connector", "ldap", "dexcore-connector-ldap"),
        ("connector", "samlExperimental", "dexcore-connector-saml"),
        ("connector", "bitbucket-cloud", "dexcore-connector-bitbucket"),
        ("connector", "atlassian-crowd", "dexcore-connector-crowd"),
        ("storage", "etcd", "dexcore-storage-etcd"),
        ("storage", "kubernetes", "dexcore-storage-kubernetes"),
        ("signer", "vault", "dexcore-signer-vault"),
    ],
)
def test_a_type_that_is_not_installed_says_what_to_install(
    kind: str, name: str, requirement: str
) -> None:
    only_ours = Plugins(tuple(p for p in plugins.find().plugins if p.builtin))
    error = broken(lambda: getattr(only_ours, f"{kind}_type")(name))
    assert error.stage == "find"
    assert error.remedy == f"Install it: pip install {requirement}"
    assert str(error) == (
        f"No installed plugin offers the {kind} type {name!r}. {error.remedy}"
    )


def test_every_type_dex_knows_is_ours_or_can_be_installed() -> None:
    from dexcore.plugins.known import requirement

    connectors = (
        "keystone mockCallback mockPassword ldap gitea github gitlab google oidc oauth "
        "saml authproxy linkedin microsoft bitbucket-cloud openshift atlassian-crowd "
        "samlExperimental local"
    )
    storages = "memory sqlite3 postgres mysql etcd kubernetes"
    ours = {each.offers for each in plugins.find().report()}
    offered = {name for offers in ours for name in offers}
    for kind, names in (("connector", connectors), ("storage", storages)):
        for name in names.split():
            assert requirement(kind, name) or name in offered, name


def test_an_installed_distribution_that_lacks_a_type_wants_an_upgrade(
    install: Install,
) -> None:
    install("dexcore-connector-ldap", CONNECTOR.format(name="ldap0"), "connector.ldap0")
    error = broken(lambda: plugins.find().connector_type("ldap"))
    assert error.remedy == (
        "dexcore-connector-ldap 1.0 does not: "
        "pip install --upgrade dexcore-connector-ldap"
    )


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ("keystnoe", "Did you mean 'keystone'?"),
        ("mockcallback", "Did you mean 'mockCallback'?"),
    ],
)
def test_a_misspelt_type_is_answered_with_the_right_one(
    wrong: str, remedy: str
) -> None:
    found = broken(lambda: plugins.find().connector_type(wrong)).remedy
    assert found.startswith(remedy)


@pytest.mark.parametrize("wrong", ["zzzzzz", ""])
def test_a_type_that_is_like_no_other_is_answered_with_those_there_are(
    wrong: str,
) -> None:
    found = broken(lambda: plugins.find().connector_type(wrong)).remedy
    assert found.startswith("There are '")
    for name in ("local", "mockCallback", "mockPassword"):
        assert repr(name) in found


# — the firewall -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "source", "cause"),
    [
        (0, "def broken(:\n", "SyntaxError: invalid syntax (acme_bad_0.py, line 1)"),
        (1, "import no_such_module", "No module named 'no_such_module'"),
        (2, "raise SystemExit('bye')", "SystemExit: bye"),
        (3, "raise BaseException('huh')", "BaseException: huh"),
        (4, "1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_plugin_that_cannot_be_imported_harms_only_itself(
    install: Install, number: int, source: str, cause: str
) -> None:
    name = f"acme-bad-{number}"
    install(name, source, "connector.bad", version="2.5")
    found = plugins.find()
    for _ in range(2):  # the second time it is not imported again
        error = broken(lambda: found.connector_type("bad"))
        assert str(error).startswith(f"{name} 2.5 (entry point connector.bad) failed ")
        assert cause in str(error)
        assert (error.distribution, error.version) == (name, "2.5")
        assert (error.entry_point, error.stage) == ("connector.bad", "import")
    assert found.connector_type("mockCallback").name == "mockCallback"
    assert "bad" not in found.offers("connector")


def test_control_c_is_no_broken_plugin(install: Install) -> None:
    install("acme-slow", "raise KeyboardInterrupt", "connector.slow")
    with pytest.raises(KeyboardInterrupt):
        plugins.find().connector_type("slow")


def test_a_broken_plugin_is_named_when_a_type_is_missing(install: Install) -> None:
    install("acme-bad-10", "1 / 0", "connector.something")
    error = broken(lambda: plugins.find().connector_type("wanted"))
    assert "(acme-bad-10 1.0 might, but cannot be used.)" in str(error)


@pytest.mark.parametrize("version", ["(2, 0)", "(99, 1)", "(-1, 0)"])
def test_a_plugin_for_another_contract_is_refused_with_both_versions(
    install: Install, version: str
) -> None:
    name = "acme-future-" + re.sub(r"\W+", "-", version).strip("-")
    source = f"dexcore_contract = {version}\n" + CONNECTOR.format(name="future")
    install(name, source, "connector.future")
    error = broken(lambda: plugins.find().connector_type("future"))
    assert error.stage == "contract"
    wanted = version.strip("()").replace(", ", ".")
    assert f"version {wanted} of the plugin contract" in str(error)
    assert "this dexcore has {}.{}".format(*CONTRACT_VERSION) in str(error)


@pytest.mark.parametrize("major", [CONTRACT_VERSION[0], CONTRACT_VERSION[0] - 1])
def test_this_contract_and_the_one_before_are_accepted(
    install: Install, major: int
) -> None:
    source = f"dexcore_contract = ({major}, 7)\n" + CONNECTOR.format(name="toy")
    install(f"acme-contract-{major}", source, "connector.toy")
    assert plugins.find().connector_type("toy").name == "toy"


def test_a_contract_that_is_no_version_is_refused(install: Install) -> None:
    source = "dexcore_contract = '1.0'\n" + CONNECTOR.format(name="toy")
    install("acme-contract-text", source, "connector.toy")
    error = broken(lambda: plugins.find().connector_type("toy"))
    assert "dexcore_contract is '1.0'; it should be two numbers" in str(error)


def test_a_hook_nobody_specified_is_refused(install: Install) -> None:
    source = "from dexcore import hookimpl\n@hookimpl\ndef dex_grants():\n  return []\n"
    install("acme-hook", source, "connector.hook")
    error = broken(lambda: plugins.find().connector_type("hook"))
    assert error.stage == "contract"
    assert "unknown hook 'dex_grants'" in str(error)


def test_a_hook_with_arguments_it_does_not_have_is_refused(install: Install) -> None:
    source = (
        "from dexcore import hookimpl\n@hookimpl\n"
        "def dex_connector_types(server):\n  return []\n"
    )
    install("acme-argument", source, "connector.argument")
    error = broken(lambda: plugins.find().connector_type("argument"))
    assert error.stage == "contract"
    assert "server" in str(error)


OFFERS = {
    "'toy'": "returned 'toy', which is no ConnectorType",
    "None, None": "returned None, which is no ConnectorType",
    "ConnectorType('', Config, open_toy)": "an offer whose name is ''",
    "ConnectorType('toy', dict, open_toy)": "<class 'dict'>, which is no attrs class",
    "ConnectorType('toy', Config, 'open')": "with an opener that is none",
    "ConnectorType('toy', Config, open_toy)," * 2: "returned 'toy' twice",
    "1 / 0": "ZeroDivisionError",
}


@pytest.mark.parametrize("number", range(len(OFFERS)))
def test_an_offer_that_is_none_is_refused_in_clear_words(
    install: Install, number: int
) -> None:
    offer, words = list(OFFERS.items())[number]
    source = CONNECTOR.replace("ConnectorType({name!r}, Config, open_toy)", offer)
    install(f"acme-offer-{number}", source, "connector.toy")
    error = broken(lambda: plugins.find().connector_type("toy"))
    assert error.stage == "offer"
    assert words in str(error)


def test_a_hook_that_returns_nothing_offers_nothing(install: Install) -> None:
    source = CONNECTOR.replace("return [", "yield from (").replace(
        "toy)]", "toy),)[:0]"
    )
    install("acme-nothing", source.replace("{name!r}", "'x'"), "connector.nothing")
    error = broken(lambda: plugins.find().connector_type("nothing"))
    assert "It offers no connector type 'nothing'." in str(error)


def test_an_entry_point_that_promises_another_name_is_told_so(install: Install) -> None:
    install("acme-name", CONNECTOR.format(name="toy"), "connector.tyo")
    error = broken(lambda: plugins.find().connector_type("tyo"))
    assert error.stage == "offer"
    assert "It offers no connector type 'tyo', only 'toy'." in str(error)


def test_two_plugins_with_one_name_are_both_named(install: Install) -> None:
    install("acme-toy-6", CONNECTOR.format(name="toy"), "connector.toy")
    install("zorg-toy-6", CONNECTOR.format(name="toy"), "connector.toy", version="7")
    install("acme-fine-6", CONNECTOR.format(name="fine"), "connector.fine")
    found = plugins.find()
    error = broken(lambda: found.connector_type("toy"))
    assert "acme-toy-6 1.0" in str(error)
    assert "zorg-toy-6 7" in str(error)
    assert found.connector_type("fine").name == "fine"
    assert "toy" not in found.offers("connector")
    assert "fine" in found.offers("connector")
    contested = [each for each in found.report() if "toy" in each.offers]
    assert [each.state for each in contested] == ["broken", "broken"]
    assert all("zorg-toy-6 7" in each.error for each in contested)


def test_a_stranger_cannot_quietly_replace_the_password_database(
    install: Install,
) -> None:
    install("evil", CONNECTOR.format(name="local"), "connector.local")
    error = broken(lambda: plugins.find().connector_type("local"))
    assert "dexcore" in str(error)
    assert "evil 1.0" in str(error)


def test_a_plugin_that_fails_later_is_blamed_by_name(install: Install) -> None:
    install("acme-toy-7", CONNECTOR.format(name="toy"), "connector.toy")
    cause = OSError("no route to host")
    error = plugins.find().failed("connector", "toy", "open", cause)
    assert str(error) == (
        "acme-toy-7 1.0 (entry point connector.toy) failed at open: "
        "OSError: no route to host"
    )
    assert error.__cause__ is cause
    nobody = plugins.find().failed("connector", "nobody", "open", cause)
    assert nobody.stage == "find"


# — extensions and commands ------------------------------------------------------------


def test_extensions_are_loaded_by_name_and_in_order(
    install: Install, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        source = EXTENSION.format(folder=str(tmp_path / name))
        install(f"acme-extension-{name}", source, f"extension.{name}")
    found = plugins.find().extensions(["two", "one"])
    assert found.template_dirs == (tmp_path / "two", tmp_path / "one")
    assert len(found.claims) == 2
    assert plugins.find().extensions([]) == plugins.Extensions()


def test_an_extension_that_is_not_there_or_broken_stops_the_start(
    install: Install,
) -> None:
    install("acme-gone", EXTENSION.format(folder="/no/such/folder"), "extension.gone")
    error = broken(lambda: plugins.find().extensions(["gone"]))
    assert "which is no folder" in str(error)
    error = broken(lambda: plugins.find().extensions(["gome"]))
    assert str(error) == (
        "No installed plugin is an extension 'gome'. Did you mean 'gone'?"
    )


def test_commands_come_from_plugins_that_work(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install("acme-command", COMMAND, "command.hello")
    install("acme-bad-command", "1 / 0", "command.bad")
    install("acme-no-command", COMMAND.replace("[hello]", "['hello']"), "command.no")
    install("zorg-command", COMMAND, "command.hello")
    with caplog.at_level(logging.WARNING, "dexcore.plugins"):
        found = plugins.find().commands()
    assert [command.name for command in found] == ["hello"]
    assert all(isinstance(command, click.Command) for command in found)
    text = caplog.text
    assert "acme-bad-command 1.0 (entry point command.bad)" in text
    assert "'hello', which is no click command" in text
    assert "Two plugins add the command 'hello'." in text


# — the report -------------------------------------------------------------------------


def test_the_report_shows_what_is_installed_and_what_is_broken(
    install: Install, tmp_path: Path
) -> None:
    source = "dexcore_contract = (1, 0)\n" + CONNECTOR.format(name="toy")
    install("acme-toy-8", source, "connector.toy", "connector.tyo")
    install("acme-bad-8", "1 / 0", "bad", "signer.bad")
    install("acme-command-8", COMMAND, "command.hello")
    install(
        "acme-extension-8", EXTENSION.format(folder=str(tmp_path)), "extension.more"
    )
    install("acme-empty-8", "", "connector.empty")
    reports = plugins.find().report()
    rows = {
        (each.distribution, each.kind): (each.offers, each.contract, each.state)
        for each in reports
        if each.distribution.endswith("-8")
    }
    assert rows == {
        ("acme-toy-8", "connector"): (("toy",), "1.0", "broken"),
        ("acme-bad-8", "signer"): ((), "", "broken"),
        ("acme-bad-8", ""): ((), "", "broken"),
        ("acme-command-8", "command"): (("hello",), "", "ok"),
        ("acme-extension-8", "extension"): (("claims", "templates"), "", "ok"),
        ("acme-empty-8", "connector"): ((), "", "broken"),
    }
    errors = {each.distribution: each.error for each in reports if each.error}
    assert "It offers no connector type 'tyo'." in errors["acme-toy-8"]
    assert "ZeroDivisionError" in errors["acme-bad-8"]
    assert "It offers nothing." in errors["acme-empty-8"]


def test_the_report_is_a_table_or_json(install: Install) -> None:
    install("acme-bad-9", "1 / 0", "connector.bad", version="3.1")
    reports = plugins.find().report()
    table = plugins.render_report(reports)
    heads, *lines = table.splitlines()
    assert heads.split() == [
        "DISTRIBUTION",
        "VERSION",
        "KIND",
        "OFFERS",
        "CONTRACT",
        "STATE",
    ]
    [line] = [line for line in lines if line.startswith("acme-bad-9  ")]
    assert line.split() == ["acme-bad-9", "3.1", "connector", "broken"]
    assert any("entry point connector.bad" in line for line in lines)
    rows = json.loads(plugins.render_report(reports, as_json=True))
    [row] = [row for row in rows if row["distribution"] == "acme-bad-9"]
    assert (row["state"], row["entry_point"]) == ("broken", "connector.bad")


def test_a_bare_entry_point_that_is_broken_is_the_reason(install: Install) -> None:
    install("acme-bare", "1 / 0", "toy")
    error = broken(lambda: plugins.find().connector_type("toy"))
    assert (error.distribution, error.stage) == ("acme-bare", "import")
