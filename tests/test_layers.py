"""Who may import whom: a module imports from its own layer or one below it."""

from __future__ import annotations

import ast

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From the bottom to the top.
LAYERS = [
    (
        "dexcore.errors",
        "dexcore.oauth2",
        "dexcore.jose",
        "dexcore.passwords",
        "dexcore.options",
    ),
    (
        "dexcore.storage",
        "dexcore.connector",
        "dexcore.signup",
        "dexcore.authenticator",
        "dexcore.signer",
        "dexcore.service",
        "dexcore.http",
        "dexcore.upstream",
    ),
    ("dexcore.hookspecs", "dexcore.plugins", "dexcore.config", "dexcore.builtin"),
    (
        "dexcore.server.audit",
        "dexcore.server.background",
        "dexcore.server.channels",
        "dexcore.server.cors",
        "dexcore.server.csrf",
        "dexcore.server.guard",
        "dexcore.server.health",
        "dexcore.server.identity",
        "dexcore.server.logs",
        "dexcore.server.metrics",
        "dexcore.server.middleware",
        "dexcore.server.pages",
        "dexcore.server.real_ip",
        "dexcore.server.sealing",
        "dexcore.server.tls",
        "dexcore.server.urls",
    ),
    (
        "dexcore.server.client_assertions",
        "dexcore.server.client_documents",
        "dexcore.server.client_keys",
        "dexcore.server.clients",
        "dexcore.server.connectors",
        "dexcore.server.dpop",
        "dexcore.server.hints",
        "dexcore.server.parking",
        "dexcore.server.policy",
        "dexcore.server.registered_clients",
        "dexcore.server.sessions",
        "dexcore.server.tokens",
        "dexcore.server.trusted_issuers",
    ),
    (
        "dexcore.server.account",
        "dexcore.server.authorize",
        "dexcore.server.check_session",
        "dexcore.server.device",
        "dexcore.server.discovery",
        "dexcore.server.grants",
        "dexcore.server.home",
        "dexcore.server.introspection",
        "dexcore.server.logout",
        "dexcore.server.metadata",
        "dexcore.server.registration",
        "dexcore.server.revocation",
        "dexcore.server.userinfo",
    ),
    ("dexcore.server.app", "dexcore.server.parts", "dexcore.server"),
    ("dexcore.cli", "dexcore.__main__"),
]
VOCABULARY, CONTRACTS, ENDPOINTS = LAYERS[0], LAYERS[1], LAYERS[5]
FOR_PLUGINS = ("dexcore", *VOCABULARY, *CONTRACTS, "dexcore.hookspecs")


def within(module: str, names: tuple[str, ...]) -> bool:
    return any(f"{module}.".startswith(f"{name}.") for name in names)


def layer(module: str) -> int:
    """The layer of *module*; the package itself, which has nothing, is below all."""
    if module == "dexcore":
        return -1
    matches = [
        (len(name), number)
        for number, names in enumerate(LAYERS)
        for name in names
        if within(module, (name,))
    ]
    assert matches, f"{module} is in no layer: enter it in this file"
    return max(matches)[1]


def modules(*folders: Path):
    return [
        pytest.param(path, _name(path, folder.parent), id=_name(path, folder.parent))
        for folder in folders
        for path in sorted(folder.rglob("*.py"))
    ]


def _name(path: Path, root: Path) -> str:
    name = ".".join(path.relative_to(root).with_suffix("").parts)
    return name.removesuffix(".__init__")


def imports(path: Path, module: str):
    """What *path* imports at run time, ``if TYPE_CHECKING`` aside."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(path.read_text())
    for node in _runtime(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level else ""
            target = ".".join(part for part in (base, node.module) if part)
            for alias in node.names:
                deeper = ROOT.joinpath(*f"{target}.{alias.name}".split("."))
                found = deeper.is_dir() or deeper.with_suffix(".py").exists()
                yield f"{target}.{alias.name}" if found else target


def _runtime(node: ast.AST):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _runtime(child)


CORE = [
    param
    for param in modules(ROOT / "dexcore")
    if not param.values[1].startswith("dexcore.testing")
]
PLUGINS = [
    folder
    for pattern in ("*-*/dexcore_*", "plugins/*/dexcore_*")
    for folder in ROOT.glob(pattern)
    if (folder / "__init__.py").exists()
]


@pytest.mark.parametrize(("path", "module"), CORE)
def test_the_core_imports_downwards(path, module):
    for name in imports(path, module):
        if within(name, ("dexcore",)):
            assert layer(name) <= layer(module), f"{module} imports {name}"


@pytest.mark.parametrize(("path", "module"), CORE)
def test_endpoints_do_not_know_each_other(path, module):
    mine = [name for name in ENDPOINTS if within(module, (name,))]
    for name in imports(path, module):
        if mine and within(name, ENDPOINTS):
            assert within(name, tuple(mine)), f"{module} imports {name}"


@pytest.mark.parametrize(("path", "module"), CORE)
def test_the_core_imports_no_plugin_and_no_test_kit(path, module):
    for name in imports(path, module):
        assert not name.startswith("dexcore_"), f"{module} imports {name}"
        assert not within(name, ("dexcore.testing",)), f"{module} imports {name}"


@pytest.mark.parametrize(("path", "module"), modules(*PLUGINS))
def test_plugins_know_only_contracts_and_vocabulary(path, module):
    own = module.partition(".")[0]
    for name in imports(path, module):
        if within(name, ("dexcore",)):
            assert name == "dexcore" or within(name, FOR_PLUGINS[1:]), (
                f"{module} imports {name}"
            )
        elif name.startswith("dexcore_"):
            assert within(name, (own,)), f"{module} imports {name}"


@pytest.mark.parametrize(("path", "module"), CORE)
def test_nobody_imports_inside_a_function_to_dodge_a_cycle(path, module):
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        for inner in ast.walk(node):
            if isinstance(inner, ast.ImportFrom):
                # Heavy imports of other libraries wait for their first use; the
                # command imports what it runs.
                dodges = inner.level > 0 and not within(module, LAYERS[-1])
                assert not dodges, f"{module} imports inside {node.name}"


def test_only_one_module_imports_jwcrypto():
    guilty = [
        param.values[1]
        for param in CORE
        for name in imports(*param.values)
        if name.partition(".")[0] == "jwcrypto"
    ]
    assert set(guilty) <= {"dexcore.jose"}
