"""What the documents show: their examples, and the HTTP messages among them."""

from __future__ import annotations

import re

from pathlib import Path

import attrs

DOCS = Path(__file__).parents[2] / "docs"


def read(name: str) -> str:
    """Return the document *name*."""
    return (DOCS / name).read_text("utf-8")


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of *page* that are marked as *language*, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


@attrs.frozen
class Message:
    """A request or an answer; ``first`` is its request line or its status line."""

    first: str
    headers: dict[str, str]
    body: str

    @classmethod
    def of(cls, text: str) -> Message:
        """Return the message that a block is."""
        head, _, body = text.strip("\n").partition("\n\n")
        first, *lines = head.split("\n")
        return cls(first, dict(line.split(": ", 1) for line in lines), body)

    @property
    def is_answer(self) -> bool:
        """Whether it is none that somebody sends to a server."""
        return self.first.startswith("HTTP/")

    @property
    def method(self) -> str:
        """What a request does."""
        return self._words[0]

    @property
    def target(self) -> str:
        """To what a request does it."""
        return self._words[1]

    @property
    def status(self) -> int:
        """What an answer has come to."""
        return int(self._words[1])

    @property
    def _words(self) -> list[str]:
        return self.first.split(" ")


def exchanges(page: str) -> list[tuple[Message, Message]]:
    """Return the requests of *page*, each with its answer."""
    messages = [Message.of(text) for text in blocks(page, "http")]
    pairs = list(zip(messages[::2], messages[1::2], strict=True))
    for request, answer in pairs:
        assert not request.is_answer
        assert answer.is_answer
    return pairs
