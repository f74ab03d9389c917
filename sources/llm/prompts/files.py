"""Templates as files: those that come with the bot, and a person's own, which go before them.

A file has no versions; it is known by its hash. Whoever wants versions saves it in the database.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from sources.llm.prompts.template import LONGEST_TEMPLATE, Template, TemplateError, is_name, parse

SUFFIX = ".md"
DEFAULT = "decide"
_MOST_BYTES = 4 * LONGEST_TEMPLATE
_PACKAGE = "sources.llm.prompts"


def shipped_names() -> list[str]:
    """The templates that come with the bot."""
    return sorted(one.name.removesuffix(SUFFIX) for one in files(_PACKAGE).iterdir() if one.name.endswith(SUFFIX))


def shipped(name: str = DEFAULT) -> Template:
    """A template that comes with the bot; `TemplateError` if there is no such."""
    if name not in shipped_names():
        raise TemplateError(name, (f"it does not come with the bot: there are {', '.join(shipped_names())}",))
    return parse(name, files(_PACKAGE).joinpath(name + SUFFIX).read_text(encoding="utf-8"))


def names(folder: Path) -> list[str]:
    """The templates of a folder and those that come with the bot."""
    own = {one.stem for one in folder.glob(f"*{SUFFIX}") if is_name(one.stem)} if folder.is_dir() else set()
    return sorted(own | set(shipped_names()))


def load(name: str, folder: Path | None = None) -> Template:
    """The template of a folder, else the one that comes with the bot. `TemplateError` if there is none or it is wrong."""
    if not is_name(name):
        raise TemplateError(name[:80], ("its name: use lower-case letters, digits, dashes and underscores, at most 64",))
    path = None if folder is None else folder / f"{name}{SUFFIX}"
    if path is None or not path.is_file():
        return shipped(name)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise TemplateError(name, (f"{path} is larger than {_MOST_BYTES} bytes",))
        return parse(name, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(name, (f"{path} cannot be read: {error}",)) from error
