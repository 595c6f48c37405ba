"""docs/conformance.md names tests that are there and say so, and forgets no statement.

Its tables have the rows ``| specification | what we do | ids | tests |``; ``…::test_x``
is a test of the file named before it in the row.  The ids are in the docstrings of the
tests; the last section lists them all.
"""

from __future__ import annotations

import ast
import re

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/conformance.md").read_text("utf-8")
LEFT_OUT, ALL = "## What is left out", "## All statements"

_ID = re.compile(r"T-[A-Z]+(?:-\d\d)?")
_RANGE = re.compile(r"(T-[A-Z]+-)(\d\d)…(\d\d)")


@attrs.frozen
class Row:
    """What is demanded, what we do, by which ids and which tests."""

    section: str
    cells: tuple[str, ...]

    @property
    def ids(self) -> list[str]:
        return _ID.findall(self.cells[2])

    @property
    def tests(self) -> list[tuple[str, str]]:
        """The tests, as file and name."""
        found, file = [], ""
        for named in re.findall(r"`([^`]+)`", self.cells[3]):
            path, _, name = named.partition("::")
            file = path if path != "…" else file
            found.append((file, name))
        return found


def rows(text: str) -> Iterator[Row]:
    """Return the rows of all tables in *text*."""
    section = ""
    for line in text.splitlines():
        if line.startswith("#"):
            section = line
        cells = tuple(cell.strip() for cell in line.strip().split("|")[1:-1])
        if cells and set(cells[0]) != {"-"} and cells[0] not in HEADS:
            yield Row(section, cells)


HEADS = ("specification", "section")
SHOWN = [row for row in rows(TEXT) if row.section not in (LEFT_OUT, ALL)]


def listed(text: str) -> set[str]:
    """Return the ids of the last section, with those in between."""
    text = text.partition(ALL)[2]
    between = {
        f"{prefix}{number:02}"
        for prefix, first, last in _RANGE.findall(text)
        for number in range(int(first), int(last) + 1)
    }
    return between | set(_ID.findall(text))


@cache
def docstrings(file: str) -> Mapping[str, str]:
    """Return the docstrings of the tests in *file*, by name."""
    path = ROOT / file
    tree = ast.parse(path.read_text("utf-8") if path.is_file() else "")
    return {
        node.name: ast.get_docstring(node) or ""
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.name.startswith("test_")
    }


def names(test: tuple[str, str], id: str) -> bool:
    """Return whether the docstring of *test* names *id*."""
    file, name = test
    return re.search(rf"\b{id}\b(?!-)", docstrings(file).get(name, "")) is not None


@pytest.mark.parametrize("row", SHOWN, ids=lambda row: f"{row.cells[0]}: {row.ids}")
def test_what_is_said_to_be_done_is_shown_by_tests_that_say_so(row: Row) -> None:
    assert len(row.cells) == 4
    assert row.cells[1]
    assert row.tests
    assert [test for test in row.tests if test[1] not in docstrings(test[0])] == []
    for id in row.ids:
        assert any(names(test, id) for test in row.tests), id
    if row.ids:
        said = [test for test in row.tests if not any(names(test, i) for i in row.ids)]
        assert said == [], "these name none of the ids"


def test_no_statement_is_forgotten() -> None:
    assert listed(TEXT) == {id for row in SHOWN for id in row.ids}


def test_what_is_left_out_has_a_reason() -> None:
    reasons = [row.cells for row in rows(TEXT) if row.section == LEFT_OUT]
    assert reasons
    for cells in reasons:
        assert len(cells) == 3
        assert all(cells)


def test_the_tables_are_read_as_people_read_them() -> None:
    text = f"""
## One
| specification | what | id | test |
|---|---|---|---|
| RFC 1 | We do. | T-AB-01 T-CD | `x/y.py::test_a`, `…::test_b`, `z.py::test_c` |
{ALL}
T-AB-01…03, T-CD.
"""
    [row] = rows(text)
    assert row.ids == ["T-AB-01", "T-CD"]
    assert row.tests == [
        ("x/y.py", "test_a"),
        ("x/y.py", "test_b"),
        ("z.py", "test_c"),
    ]
    assert listed(text) == {"T-AB-01", "T-AB-02", "T-AB-03", "T-CD"}
