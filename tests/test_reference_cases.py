"""What dex tests of a connector, we test: each connector has a table, and it is true.

``tests/README.md`` of every connector's distribution has rows
``| what dex tests | `tests/test_x.py::test_name` |``; ``tests/`` may be left out.  A
cell may name several tests, ``…::test_name`` is one in the file named before, and ``the
same`` is what the row above says.  Tests may be inherited from the contract kit.

``docs/upstreams.md`` names for each provider the tests that log in there.
"""

from __future__ import annotations

import ast
import re

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parent.parent
KIT = sorted((ROOT / "dexcore" / "testing").glob("*connector*.py"))
DISTRIBUTIONS = sorted(
    file.parent
    for pattern in ("connector-*", "plugins/connector-*")
    for file in ROOT.glob(f"{pattern}/pyproject.toml")
)

# A bar, unless it is within `code`.
_BETWEEN_CELLS = re.compile(r"\|(?=(?:[^`]*`[^`]*`)*[^`]*$)")
_NAMED = re.compile(r"`([^`]*::[^`]+)`")


@attrs.frozen
class Row:
    """A case of dex, and the tests of ours that cover it."""

    case: str
    tests: tuple[str, ...]


def rows(text: str) -> Iterator[Row]:
    """Return the rows of the table in *text*."""
    known: tuple[str, ...] = ()
    file = ""
    for line in text.splitlines():
        cells = [cell.strip() for cell in _BETWEEN_CELLS.split(line.strip())[1:-1]]
        if len(cells) != 2 or cells[1] == "our test" or set(cells[0]) <= set("-:"):
            continue
        if cells[1] != "the same":
            known = ()
            for name in _NAMED.findall(cells[1]):
                path, _, test = name.partition("::")
                file = path if path != "…" else file
                known += (f"{file}::{test}",)
        yield Row(cells[0], known)


@cache
def names_in(file: Path) -> frozenset[str]:
    """Return the tests defined in *file*, with their class and without."""
    found = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        for each in inner:
            if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found.add(each.name)
                if isinstance(node, ast.ClassDef):
                    found.add(f"{node.name}::{each.name}")
    return frozenset(found)


@cache
def classes_in(file: Path) -> frozenset[str]:
    """Return the classes in *file* that inherit from another one."""
    tree = ast.parse(file.read_text("utf-8"))
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef))
    return frozenset(node.name for node in classes if node.bases)


def exists(folder: Path, test: str) -> bool:
    """Return whether the distribution in *folder* has this *test*."""
    path, _, name = test.partition("[")[0].partition("::")
    file = folder / path
    if not file.is_file():
        file = folder / "tests" / path  # as seen from the table
    if not file.is_file():
        return False
    owner, _, method = name.rpartition("::")
    if not method.startswith("test_"):
        return False
    if name in names_in(file):
        return True
    heirs = classes_in(file)
    inherits = owner in heirs if owner else bool(heirs)
    return inherits and any(method in names_in(f) for f in KIT)


CASES = [
    pytest.param(folder, row, id=f"{folder.name}: {row.case}")
    for folder in DISTRIBUTIONS
    if (folder / "tests" / "README.md").exists()
    for row in rows((folder / "tests" / "README.md").read_text("utf-8"))
]


@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda folder: folder.name)
def test_every_connector_says_what_dex_tests(folder):
    table = folder / "tests" / "README.md"
    assert table.exists(), f"{folder.name} has no tests/README.md"
    assert list(rows(table.read_text("utf-8"))), f"{table} has no table"


@pytest.mark.parametrize(("folder", "row"), CASES)
def test_what_dex_tests_is_tested(folder, row):
    assert row.tests, f"no test of ours is named for {row.case!r}"
    assert [test for test in row.tests if not exists(folder, test)] == []


# — what is tested with which provider -------------------------------------------------

SHOWN = ("login", "groups", "refresh", "revocation", "over HTTP", "in Chromium")


def providers(text: str) -> Iterator[tuple[str, list[str], dict[str, list[str]]]]:
    """Return provider, files and tests by what they show, of the table in *text*."""
    for line in text.splitlines():
        cells = line.strip().strip("|").split("|")
        first, *named = [re.findall(r"`([^`]+)`", cell) for cell in cells]
        if len(named) == len(SHOWN) and first:
            yield (
                cells[0].partition(":")[0].strip(),
                first,
                dict(zip(SHOWN, named, strict=True)),
            )


PROVIDERS = list(providers((ROOT / "docs" / "upstreams.md").read_text("utf-8")))


@pytest.mark.parametrize(
    ("files", "shown"), [pytest.param(*rest, id=name) for name, *rest in PROVIDERS]
)
def test_what_is_shown_with_a_provider_is_a_test(files, shown):
    for what, tests in shown.items():
        assert tests, f"no test shows {what}"
        for test in tests:
            assert any(exists(ROOT, f"{file}::{test}") for file in files), test


def test_the_table_of_providers_is_read_as_people_read_it():
    text = """
    | provider | login | groups | refresh | revocation | over HTTP | in Chromium |
    |---|---|---|---|---|---|---|
    | A, SAML: `x/test_a.py`, `y.py` | `test_1`, `test_2` | `test_3` | | | `t` | |
    """
    [(name, files, shown)] = providers(text)
    assert (name, files) == ("A, SAML", ["x/test_a.py", "y.py"])
    assert shown["login"] == ["test_1", "test_2"]
    assert shown["over HTTP"] == ["t"]
    assert shown["revocation"] == []
    assert len(PROVIDERS) == 9


# — whether this would notice ----------------------------------------------------------


TABLE = """
Words before.

| what dex tests | our test |
| --- | --- |
| one | `tests/test_a.py::test_one` |
| two | `tests/test_a.py::test_one[x-1]`, `…::TestA::test_two` |
| the same again | the same |
| a `|` in it | `tests/test_a.py::TestA::test_who_is_gone_is_denied` |
| nothing | |
| wrong | `tests/test_a.py::test_three`, `tests/test_b.py::test_one` |
| a helper | `tests/test_a.py::helper` |
"""

MODULE = """
import pytest
def helper(): ...
@pytest.mark.parametrize("x", [1])
def test_one(x): ...
class TestA(Contract):
    async def test_two(self): ...
class TestB: ...
"""


@pytest.fixture
def example(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text(MODULE)
    return tmp_path


def test_a_table_is_read_as_people_read_it():
    read = {row.case: row.tests for row in rows(TABLE)}
    assert read["one"] == ("tests/test_a.py::test_one",)
    assert read["two"] == (
        "tests/test_a.py::test_one[x-1]",
        "tests/test_a.py::TestA::test_two",
    )
    assert read["the same again"] == read["two"]
    assert read["nothing"] == ()
    assert len(read) == 7


def test_tests_are_found_where_they_are_and_nowhere_else(example):
    found = {
        row.case: [exists(example, test) for test in row.tests] for row in rows(TABLE)
    }
    assert found == {
        "one": [True],
        "two": [True, True],
        "the same again": [True, True],
        "a `|` in it": [True],
        "nothing": [],
        "wrong": [False, False],
        "a helper": [False],
    }
    assert not exists(example, "tests/test_a.py::TestB::test_who_is_gone_is_denied")
