"""Take the pictures of a report page that the gallery shows, in a wide window and a narrow one, by day and by night.

usage: python docs/gallery.py PAGE.html FOLDER
"""

import io
import shutil
import sys
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

COLOURS = 256  # of a picture: the page has few, and it takes a third of the bytes


class View(NamedTuple):
    """A picture: the size of the window, in CSS pixels, and what it shows of the page."""

    width: int
    height: int
    scheme: Literal["light", "dark"]
    section: str = ""  # id of what is scrolled to; else the page from its top
    opened: bool = False  # whether the best network is


VIEWS = {
    "report": View(1280, 1290, "light"),
    "report-dark": View(1280, 1000, "dark", "sizes"),
    "report-network": View(1280, 1000, "light", opened=True),
    "report-narrow": View(400, 860, "light", "progress"),
    "report-narrow-dark": View(400, 860, "dark", "blocks"),
}


def picture(browser: Browser, page: Path, view: View) -> Image.Image:
    """Return what `view` shows of the report `page`."""
    size = {"width": view.width, "height": view.height}
    with browser.new_context(viewport=size, color_scheme=view.scheme, offline=True) as context:  # type: ignore[arg-type]
        shown = context.new_page()
        shown.goto(page.absolute().as_uri())
        shown.wait_for_selector("#models-table tbody tr")
        if view.section:
            shown.locator(f"#{view.section}").evaluate("section => section.scrollIntoView()")
        if view.opened:
            shown.locator("#models-table tbody tr button").first.click()
        shown.wait_for_timeout(500)  # figures are drawn as they come into view
        return Image.open(io.BytesIO(shown.screenshot()))


def main(page: str, folder: str) -> None:
    """Write each of `VIEWS` into `folder`, as NAME.png."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        for name, view in VIEWS.items():
            taken = picture(browser, Path(page), view).convert("RGB")
            few = taken.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
            few.save(Path(folder) / f"{name}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
