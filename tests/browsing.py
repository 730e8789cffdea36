"""A page in the system's headless Chromium, for the tests of the report and of the live page."""

import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from benchmarks.browser import CHROMIUM

in_a_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium, which is not installed: apt install chromium"
)
#: A name that would be markup, and an error that would end the script that holds it.
HOSTILE = "<img src=x onerror=window.hurt=1>&lt;b&gt;"
ERROR = "ValueError: </script><script>window.hurt=2</script><!--<script>"


def hostile(run: Path, folder: Path) -> Path:
    """Copy `run` into `folder` under a hostile name, with a failure of a hostile error, and return the copy."""
    other = folder / HOSTILE
    shutil.copytree(run, other, symlinks=True)
    with sqlite3.connect(other / "run.sqlite") as db:
        db.execute("update results set status='failed' where job = 2")
        db.execute("update details set detail = json_set(detail, '$.error', ?) where job = 2", [ERROR])
    db.close()
    return other


class Visit:
    """A page, and all that it has complained about or asked of others than itself."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        """Open the page at `address`."""
        self.page: Page = context.new_page()
        self.heard = list[str]()
        self._address = address
        self.page.on("console", lambda said: self.heard.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.heard.append(str(error)))
        self.page.on("request", self._requested)
        self.page.goto(address)
        self.page.wait_for_selector("#models-table tbody tr")

    def _requested(self, request: Any) -> None:
        if not request.url.startswith((self._address, "data:", "blob:")):
            self.heard.append(request.url)

    def column(self, n: int) -> list[str]:
        """The texts of a column of the table of models."""
        return self.page.locator(f"#models-table tbody td:nth-child({n})").all_inner_texts()

    def names(self) -> list[str]:
        """The headings of the table of models."""
        return [re.sub(" [▲▼]", "", name) for name in self.page.locator("#models-table th").all_inner_texts()]
