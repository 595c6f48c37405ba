"""YAML as dex reads it, with the place of every key and value.

dex reads YAML 1.1 with a few differences: ``y`` and ``n`` are booleans, ``1:30`` is no
number and ``2024-01-01`` no date.
"""

from __future__ import annotations

import re

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import yaml

from ..options import fold
from .problems import Position, Problem, problem

_TEMPLATE = "This looks like a template: render it first and give the result."
_TAG = "tag:yaml.org,2002:"


@attrs.frozen
class Mark:
    """Where a key and its value are, and how a scalar was written."""

    key: Position
    value: Position
    text: str | None = None


class Section(dict[str, Any]):
    """A mapping of the file that remembers where it was.

    ``at`` is where the section itself is named; ``strict`` makes unknown keys errors.
    """

    __slots__ = ("at", "marks", "strict")

    def __init__(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        at: Position | None = None,
        marks: Mapping[str, Mark] | None = None,
        strict: bool = False,
    ) -> None:
        super().__init__(values or {})
        self.at = at or Position("<config>")
        self.marks = dict(marks or {})
        self.strict = strict

    def find(self, name: str) -> str | None:
        """Return *name* as this section writes it, in any case, with underscores."""
        folded = fold(name)
        return next((key for key in self if fold(key) == folded), None)

    def position(self, key: str) -> Position:
        """Return where the value of *key* is, or the section without one.

        A whole section or list is named by its key.
        """
        if key not in self.marks:
            return self.at
        mark = self.marks[key]
        whole = isinstance(self.get(key), Section | Items)
        return mark.key if whole else mark.value

    def key_position(self, key: str) -> Position:
        """Return where *key* itself is."""
        return self.marks[key].key if key in self.marks else self.at

    def text(self, key: str) -> str | None:
        """Return how the scalar under *key* was written."""
        return self.marks[key].text if key in self.marks else None

    def replaced(self, values: Mapping[str, Any]) -> Section:
        """Return a section at the same place with other *values*."""
        return Section(values, at=self.at, marks=self.marks, strict=self.strict)

    def put(self, path: Sequence[str], value: str, origin: str) -> None:
        """Set the value at *path*, making sections on the way; *origin* names it."""
        at = Position(origin)
        section = self
        for name in path[:-1]:
            key = section.find(name) or name
            if not isinstance(section.get(key), Section):
                section[key] = Section(at=at, strict=self.strict)
            section = section[key]
        key = section.find(path[-1]) or path[-1]
        section[key] = value
        section.marks[key] = Mark(at, at, value)


class Items(list[Any]):
    """A list of the file that remembers where it was."""

    __slots__ = ("marks",)

    def __init__(self, values: Iterable[Any] = (), marks: Iterable[Mark] = ()) -> None:
        super().__init__(values)
        self.marks = list(marks)

    def position(self, index: int) -> Position:
        """Return where the item is."""
        return self.marks[index].value

    def text(self, index: int) -> str | None:
        """Return how the scalar was written."""
        return self.marks[index].text

    def replaced(self, values: Iterable[Any]) -> Items:
        """Return a list at the same place with other *values*."""
        return Items(values, self.marks)


def parse(text: str, file: str, *, strict: bool) -> tuple[Section, list[Problem]]:
    """Return the first YAML document of *text*, and what is wrong with its syntax."""
    document = _Document(file, strict)
    root = document.read(text)
    return root, document.problems


class _Loader(yaml.SafeLoader):
    """Resolves plain scalars as the YAML library of dex does."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 — PyYAML's own shape
    bool_values = {**yaml.SafeLoader.bool_values, "y": True, "n": False}  # noqa: RUF012


def _resolve(kind: str, pattern: str, first: Iterable[str]) -> None:
    _Loader.add_implicit_resolver(
        _TAG + kind, re.compile(f"^(?:{pattern})$"), list(first)
    )


_resolve(
    "bool",
    "y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF",
    "yYnNtTfFoO",
)
_resolve(
    "int",
    r"[-+]?0b[01_]+|[-+]?0o?[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+",
    "-+0123456789",
)
_resolve(
    "float",
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    "-+0123456789.",
)
_resolve("merge", "<<", "<")
_resolve("null", "~|null|Null|NULL|", ["~", "n", "N", ""])


class _Document:
    """Turns the nodes of one text into sections."""

    def __init__(self, file: str, strict: bool) -> None:
        self.file = file
        self.strict = strict
        self.problems: list[Problem] = []
        self.text = ""
        self._open: list[yaml.Node] = []

    def read(self, text: str) -> Section:
        self.text = text
        empty = Section(at=Position(self.file, 1, 1), strict=self.strict)
        try:
            loader = _Loader(text)
            node = loader.get_node() if loader.check_node() else None
            root = self._value(loader, node) if node is not None else None
            self._warn_of_more(loader)
        except yaml.MarkedYAMLError as error:
            self._add_syntax_error(error, text)
            return empty
        except yaml.reader.ReaderError as error:
            self._add_unreadable(error, text)
            return empty
        except RecursionError:
            self._add(empty.at, "the file is nested too deeply", "Flatten it.")
            return empty
        if root is None:
            return empty
        if isinstance(root, Section):
            return root
        self._add(
            empty.at,
            f"the file is {_noun(root)}, not a mapping of keys to values",
            'Start it with "issuer: https://…".',
        )
        return empty

    def _value(
        self, loader: _Loader, node: yaml.Node, at: Position | None = None
    ) -> Any:
        if any(node is each for each in self._open):
            self._add(
                self._at(node), "this alias contains itself", "Write the value out."
            )
            return ""
        self._open.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self._section(loader, node, at or self._at(node))
            if isinstance(node, yaml.SequenceNode):
                marks = [self._mark(each, each) for each in node.value]
                return Items([self._value(loader, each) for each in node.value], marks)
            return self._scalar(loader, node)
        finally:
            self._open.pop()

    def _section(
        self, loader: _Loader, node: yaml.MappingNode, at: Position
    ) -> Section:
        section = Section(at=at, strict=self.strict)
        merged: list[Section] = []
        for key, value in node.value:
            if key.tag == _TAG + "merge":
                merged += self._merged(loader, value)
            elif not isinstance(key, yaml.ScalarNode):
                self._add_key_of_keys(key)
            elif key.value in section:
                self._add_duplicate(section, key)
            else:
                section.marks[key.value] = self._mark(key, value)
                section[key.value] = self._value(loader, value, self._at(key))
        for other in merged:
            for name in [each for each in other if each not in section]:
                section[name] = other[name]
                section.marks[name] = other.marks[name]
        return section

    def _merged(self, loader: _Loader, node: yaml.Node) -> Iterator[Section]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for each in nodes:
            value = self._value(loader, each)
            if isinstance(value, Section):
                yield value
            else:
                self._add(
                    self._at(each),
                    "only a mapping can be merged with <<",
                    "Let << name the anchor of a mapping.",
                )

    def _scalar(self, loader: _Loader, node: yaml.Node) -> Any:
        kind = node.tag.removeprefix(_TAG)
        if kind in ("str", "timestamp"):
            return node.value
        if kind not in ("null", "bool", "int", "float"):
            self._add(
                self._at(node), f"the tag {node.tag} means nothing here", "Remove it."
            )
            return node.value
        try:
            if kind == "float":
                return float(re.sub(r"^([-+]?)\.(?=[inIN])", r"\1", node.value))
            return loader.construct_object(node)
        except (ValueError, KeyError, IndexError):
            self._add(self._at(node), f"this is no {kind}", "Remove the tag.")
            return node.value

    def _warn_of_more(self, loader: _Loader) -> None:
        try:
            more = loader.get_node() if loader.check_node() else None
        except yaml.MarkedYAMLError:
            return  # dex does not read so far either
        if more is not None:
            self._add(
                self._at(more),
                "only the first document of the file is read",
                'Remove the line "---" and what follows, or merge it.',
                warning=True,
            )

    def _add_duplicate(self, section: Section, key: yaml.Node) -> None:
        first = section.key_position(key.value)
        self._add(
            self._at(key),
            f'the key "{key.value}" is here twice; '
            f"the first is at line {first.line}, column {first.column}",
            "Keep one of them.",
        )

    def _add_syntax_error(self, error: yaml.MarkedYAMLError, text: str) -> None:
        what = error.problem or error.context or "cannot be read"
        mark = error.problem_mark or error.context_mark
        if _unclosed(what) and error.context_mark is not None:
            mark = error.context_mark  # where it was opened says more than the end
        at = (
            Position(self.file, mark.line + 1, mark.column + 1)
            if mark
            else Position(self.file, 1, 1)
        )
        opened = error.context_mark
        since = (
            f" {error.context} from line {opened.line + 1}, column {opened.column + 1}"
            if opened and error.context and opened.line != at.line - 1
            else ""
        )
        self._add(
            at, f"this is not YAML: {what}{since}", _syntax_remedy(what, text, at.line)
        )

    def _add_key_of_keys(self, key: yaml.Node) -> None:
        what = "a key must be a word"
        if "{{" in self.text:
            raise yaml.MarkedYAMLError(problem=what, problem_mark=key.start_mark)
        self._add(self._at(key), what, "Quote the key.")

    def _add_unreadable(self, error: yaml.reader.ReaderError, text: str) -> None:
        before = text[: error.position]
        column = len(before) - (before.rfind("\n") + 1) + 1
        self._add(
            Position(self.file, before.count("\n") + 1, column),
            f"the character U+{ord(text[error.position]):04X} may not be in YAML",
            "Remove it, or write it escaped in double quotes.",
        )

    def _mark(self, key: yaml.Node, value: yaml.Node) -> Mark:
        text = value.value if isinstance(value, yaml.ScalarNode) else None
        return Mark(self._at(key), self._at(value), text)

    def _at(self, node: yaml.Node | None) -> Position:
        if node is None or node.start_mark is None:
            return Position(self.file, 1, 1)
        return Position(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def _add(
        self, at: Position, message: str, remedy: str, *, warning: bool = False
    ) -> None:
        severity = "warning" if warning else "error"
        self.problems.append(problem(at, message, remedy, severity))  # type: ignore[arg-type]


def _unclosed(what: str) -> bool:
    return "end of stream" in what or "stream end" in what or "expected ':'" in what


def _noun(value: object) -> str:
    return "a list" if isinstance(value, list) else "a single value"


def _syntax_remedy(what: str, text: str, line: int) -> str:
    lines = text.splitlines()
    here = lines[line - 1] if 0 < line <= len(lines) else ""
    if "{{" in here or ("{{" in text and "}}" in text):
        return _TEMPLATE
    if "\\t" in what or "\t" in here:
        return "Indent with spaces; tabs may not indent YAML."
    if "mapping values are not allowed" in what:
        return 'Quote a value that contains ": ", or check the indentation.'
    if "alias" in what:
        return "Define the anchor (&name) before the alias (*name), or quote the value."
    if "cannot start any token" in what:
        return "Quote a value that starts with one of @ ` % & * ! | >."
    if "expected ':'" in what:
        return 'Put ": " between the key and its value.'
    if _unclosed(what):
        return "Close the quote or bracket that is opened before."
    return "Check the indentation, the quotes and the brackets here and above."
