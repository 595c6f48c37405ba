"""``python examples/example_app`` starts the app; ``--help`` lists its flags."""

from __future__ import annotations

import sys

from pathlib import Path

# Python runs a folder without knowing that it is a package: make it one.
sys.path.insert(0, str(Path(__file__).parent.parent))

from example_app.cli import main

main()
