"""What the documents point at is there."""

import ast
import re

from pathlib import Path

import pytest

from dexcore.config import load
from dexcore.server.pages import PAGES

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    file
    for pattern in ("*.md", "*/*.md", "docs/*/*.md", "plugins/*/*.md")
    for file in ROOT.glob(pattern)
    # Tools leave documents of their own in .hidden folders.
    if not file.relative_to(ROOT).parts[0].startswith(".")
)

_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def anchors(text):
    """Return the names GitHub gives to headings."""
    headings = _HEADING.findall(re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in headings
    }


@pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda file: file.relative_to(ROOT).as_posix()
)
def test_every_link_leads_somewhere(document):
    text = document.read_text("utf-8")
    links = _LINK.findall(_CODE.sub("", text))
    assert [link for link in links if not leads_somewhere(link, document)] == []


def leads_somewhere(link, document):
    path, _, anchor = link.partition("#")
    if "://" in path:
        return True
    target = (document.parent / path) if path else document
    return target.exists() and (
        not anchor or anchor in anchors(target.read_text("utf-8"))
    )


@pytest.mark.parametrize("page", PAGES)
def test_the_manual_of_the_pages_names_every_page(page):
    assert f"`{page}`" in (ROOT / "docs/pages.md").read_text("utf-8")


# — docs/clients.md --------------------------------------------------------------------

CLIENTS = ROOT / "docs/clients.md"
# Each block of code is of the file that was linked last.
_SHOWN = re.compile(
    r"\]\(\.\./(?P<file>tests/clients/[^)]+)\)|^```(?P<kind>\w+)\n(?P<code>.*?)^```",
    re.DOTALL | re.MULTILINE,
)


def shown_of_clients():
    file = None
    for found in _SHOWN.finditer(CLIENTS.read_text("utf-8")):
        if found["file"]:
            file = found["file"]
        else:
            yield file, found["kind"], found["code"]


def test_what_is_shown_of_clients_is_what_is_tested():
    shown = [each for each in shown_of_clients() if each[1] != "yaml"]
    assert {kind for _, kind, _ in shown} == {"properties", "java", "apache", "js"}
    missing = [
        (file, code)
        for file, _, code in shown
        if unindented(code) not in unindented((ROOT / file).read_text("utf-8"))
    ]
    assert missing == []


def unindented(code):
    return "\n".join(line.strip() for line in code.strip().splitlines())


def test_the_server_takes_what_clients_are_shown_to_need(tmp_path):
    (code,) = (code for _, kind, code in shown_of_clients() if kind == "yaml")
    file = tmp_path / "config.yaml"
    file.write_text(
        f"issuer: https://dex.example.com\nstorage: {{type: memory}}\n{code}"
    )
    ids = {client.id for client in load(file).static_clients}
    assert ids == {"spring", "apache", "spa"}


# What a test mentions that runs the library of a column.
_LIBRARIES = {
    "openid-client": "openid_client",
    "oauth4webapi": "oauth4webapi",
    "oidc-client-ts": "open_app",
}
_LISTED = re.compile(r"^(\d+)\. `(test_\w+\.py)::(test_\w+)`$", re.MULTILINE)


def source_of(file, name):
    """Return the source of a test, with its decorators; "" if there is none."""
    text = (ROOT / "tests/clients" / file).read_text("utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            first = min(each.lineno for each in (node, *node.decorator_list))
            return "\n".join(text.splitlines()[first - 1 : node.end_lineno])
    return ""


def test_what_libraries_for_javascript_do_is_tested():
    text = CLIENTS.read_text("utf-8").partition("## Which library for JavaScript")[2]
    tests = {
        number: source_of(file, name) for number, file, name in _LISTED.findall(text)
    }
    assert list(tests) == [str(number + 1) for number in range(17)]
    head, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    )
    assert head == ["", *_LIBRARIES]
    named = [
        (row[0], library, number)
        for row in rows
        for library, cell in zip(_LIBRARIES, row[1:], strict=True)
        for number in re.findall(r"\d+", cell)
    ]
    assert {number for _, _, number in named} == tests.keys()
    # In Chromium oauth4webapi is on the page of oidc-client-ts.
    assert [
        each
        for each in named
        if _LIBRARIES[each[1]] not in tests[each[2]]
        and each[1:] != ("oauth4webapi", "16")
    ] == []
