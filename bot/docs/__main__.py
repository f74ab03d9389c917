"""`python -m bot.docs [--check]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import bot
from bot.docs.pages import stale, write

ROOT = Path(bot.__file__).parent.parent


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Write the pages below `root`, or only look; 1 if `--check` finds one that is stale."""
    parser = argparse.ArgumentParser(prog="python -m bot.docs", description="Write the generated reference pages.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a committed page is stale")
    if parser.parse_args(arguments).check:
        found = stale(root)
        for path in found:
            sys.stderr.write(f"stale: {path}; say `make docs`\n")
        return 1 if found else 0
    for path in write(root):
        sys.stdout.write(f"wrote {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
