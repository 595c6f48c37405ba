"""What the documents point at is there."""

import re

from pathlib import Path

import pytest

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
