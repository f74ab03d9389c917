"""`python -m tests.browser.pictures FOLDER`: the documentation's pictures, taken of a demonstration by the machine's Chromium."""

from __future__ import annotations

import struct
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from tests.browser.conftest import CHROMIUM
from tests.web.house import House, house

DECISIONS = 125
LARGEST_BYTES = 150_000
# Losing trades in a row would make it wait for a quarter of an hour.
_SETTINGS = {"ARBITER_RISK__LOSS_STREAK": "null"}
_SETTLED = """
() => document.readyState === "complete" && !document.querySelector("[aria-busy=true]")
  && [...document.querySelectorAll("[data-chart]")].every((part) => part.closest("details:not([open])") || part.dataset.drawn)
"""
_DESK, _PHONE = ViewportSize(width=1280, height=860), ViewportSize(width=390, height=844)


def _nothing(page: Page) -> None:
    del page


def _open_one(page: Page) -> None:
    """A decision that was executed, in the drawer."""
    row = page.locator("tr[data-key]", has_text="executed").first
    row.locator("a[data-drawer]").click()
    page.locator("#drawer h2").first.wait_for()


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: its name, what is opened, what is done there, and on what it is looked at."""

    name: str
    address: str
    act: Callable[[Page], None] = _nothing
    theme: Literal["light", "dark"] = "light"
    viewport: ViewportSize = field(default_factory=lambda: _DESK)


PICTURES = (
    Picture("overview-light", "/"),
    Picture("overview-dark", "/", theme="dark"),
    Picture("decision", "/decisions?fate=executed", act=_open_one),
    Picture("sources", "/sources"),
    Picture("quantconnect", "/quantconnect"),
    Picture("ai", "/ai"),
    Picture("risk", "/risk", theme="dark"),
    Picture("phone", "/", viewport=_PHONE),
)


def main(folder: Path) -> int:
    """Take them all; 1 if one is too large."""
    folder.mkdir(parents=True, exist_ok=True)
    large = 0
    with tempfile.TemporaryDirectory() as place, house(Path(place), **_SETTINGS) as demo, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for least in range(25, DECISIONS + 1, 25):  # each within the minute that it waits
            demo.decided(least)
        for picture in PICTURES:
            taken = smaller(_taken(browser, demo, picture))
            (folder / f"{picture.name}.png").write_bytes(taken)
            sys.stdout.write(f"{picture.name}.png {len(taken):,} bytes\n")
            large += len(taken) > LARGEST_BYTES
        browser.close()
    return 1 if large else 0


def _taken(browser: Browser, demo: House, picture: Picture) -> bytes:
    with _entered(browser, demo, picture) as page:
        page.goto(demo.url + picture.address)
        page.wait_for_function(_SETTLED, timeout=30_000)
        picture.act(page)
        page.wait_for_function(_SETTLED, timeout=30_000)
        return page.screenshot(animations="disabled")


@contextmanager
def _entered(browser: Browser, demo: House, picture: Picture) -> Iterator[Page]:
    context = browser.new_context(viewport=picture.viewport, color_scheme=picture.theme)
    page = context.new_page()
    page.goto(demo.fresh_link())
    yield page
    context.close()


def smaller(png: bytes) -> bytes:
    """The same picture in the 256 colours that it has most of; the others, edges of letters, take on the nearest of these."""
    width, height, colours = _colours(png)
    counted = Counter(colours)
    palette = [colour for colour, _ in counted.most_common(256)]
    place = {colour: _nearest(colour, palette) for colour in counted}
    rows = (b"\0" + bytes(place[each] for each in colours[row * width : (row + 1) * width]) for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = ((b"IHDR", header), (b"PLTE", b"".join(palette)), (b"IDAT", zlib.compress(b"".join(rows), 9)), (b"IEND", b""))
    return png[:8] + b"".join(_chunk(kind, body) for kind, body in parts)


def _nearest(colour: bytes, palette: list[bytes]) -> int:
    """The place of the colour that is least far from this one."""
    return min(range(len(palette)), key=lambda place: sum((a - b) ** 2 for a, b in zip(colour, palette[place], strict=True)))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _colours(png: bytes) -> tuple[int, int, list[bytes]]:
    """Width, height and the colours, row by row, of a picture as the browser writes it: 8 bits, RGB, not interlaced."""
    packed, place = bytearray(), 8
    while place < len(png):
        (length,) = struct.unpack_from(">I", png, place)
        kind, body = png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", body)
            assert (depth, colour, interlaced) == (8, 2, 0), "not a picture of the browser's"
        elif kind == b"IDAT":
            packed += body
        place += 12 + length
    found: list[bytes] = []
    above, lines = bytes(3 * width), zlib.decompress(packed)
    for row in range(height):
        start = row * (3 * width + 1)
        above = _unfiltered(lines[start], lines[start + 1 : start + 1 + 3 * width], above)
        found += [above[column : column + 3] for column in range(0, 3 * width, 3)]
    return width, height, found


def _unfiltered(method: int, line: bytes, above: bytes) -> bytes:
    """A row of a PNG with its filter undone (PNG specification, section 9)."""
    if method == 0:
        return line
    if method == 2:
        return bytes((value + up) & 255 for value, up in zip(line, above, strict=True))
    made = bytearray(line)
    for place, value in enumerate(line):
        left, corner = (made[place - 3], above[place - 3]) if place >= 3 else (0, 0)
        up = above[place]
        made[place] = (value + (left if method == 1 else (left + up) // 2 if method == 3 else _paeth(left, up, corner))) & 255
    return bytes(made)


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda each: abs(guess - each))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
