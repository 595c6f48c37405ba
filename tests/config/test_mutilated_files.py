"""However a file is mutilated, it is read, and every finding is of use."""

from __future__ import annotations

import random

from pathlib import Path
from typing import Any

import pytest

from dexcore.config import reads
from dexcore.config.check import check_reading

GOOD = sorted((Path(__file__).parent / "good").glob("*.yaml"))
SCRAPS = [
    *("[", "]", "{", "}", ": ", "- ", "null", "true", "1.5", "&a ", "*a", "<<: "),
    *("'", '"', "\n", "  ", "$X", "-1h", "!!int ", "!!float x", "0", "\t", "---\n"),
]


def mutilated(text: str, dice: random.Random) -> str:
    lines = text.split("\n")
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(lines))
        line = lines[at]
        match dice.randrange(4):
            case 0:
                lines[at] = ""
            case 1:
                column = dice.randrange(len(line) + 1)
                lines[at] = line[:column] + dice.choice(SCRAPS) + line[column:]
            case 2:
                lines[at] = line.partition(":")[0] + ": " + dice.choice(SCRAPS)
            case _:
                lines.insert(dice.randrange(len(lines)), line)
    return "\n".join(lines)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_mutilated_file_is_read_to_the_end(
    path: Path, seed: int, plugins: Any
) -> None:
    dice = random.Random(seed)
    for _ in range(5):
        text = mutilated(path.read_text(), dice)
        reading = reads(text, name="dex.yaml", environ={"DEX_SESSIONS_ENABLED": "1"})
        for problem in check_reading(reading, plugins):
            assert problem.file == "dex.yaml"
            assert 1 <= problem.line <= text.count("\n") + 1
            assert problem.message
            assert problem.remedy
