"""Which pages are generated, and whether those on the disk are the ones the code would write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bot.docs import api, commands, configuration, journal, metrics, openapi, risk, sources, vocabulary
from bot.outlets.schema import feed_docs

REFERENCE = Path("docs") / "reference"
FEED = REFERENCE / "feed"


def pages() -> Mapping[Path, str]:
    """Every generated page, by its path below the repository's root."""
    written = {
        "api.md": api.page(),
        "cli.md": commands.page(),
        "configuration.md": configuration.page(),
        "exit-codes.md": commands.exit_codes_page(),
        "fates.md": vocabulary.page(),
        "journal.md": journal.page(),
        "metrics.md": metrics.page(),
        "openapi.json": openapi.page(),
        "risk.md": risk.page(),
        "sources.md": sources.page(),
    }
    found = {REFERENCE / name: text for name, text in written.items()}
    return found | {FEED / name: text for name, text in feed_docs().items()}


def stale(root: Path) -> list[Path]:
    """Pages that are missing or differ, and feed schemas of message types that are gone."""
    wanted = pages()
    differ = [path for path, text in wanted.items() if _read(root / path) != text]
    return sorted(differ + _orphans(root, wanted))


def write(root: Path) -> list[Path]:
    """Write what differs and remove what is gone; the paths that changed, in order."""
    wanted = pages()
    changed = stale(root)
    for path in changed:
        if path in wanted:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(wanted[path], encoding="utf-8")
        else:
            (root / path).unlink()
    return changed


def _orphans(root: Path, wanted: Mapping[Path, str]) -> list[Path]:
    found = (FEED / path.name for path in (root / FEED).glob("*.schema.json"))
    return [path for path in found if path not in wanted]


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None
