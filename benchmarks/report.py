"""What the report of a run costs: to write it, to open it in a browser, and to zoom and scroll in it."""

import contextlib
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.browser import CHROMIUM
from benchmarks.measure import Benchmark, in_turn
from benchmarks.store import VARIANTS, fill
from populations import __main__ as populations

FRAMES = 20
# Each frame changes the picture; what is measured is the median time from one to the next, in seconds.
_FRAMES = """(change) => new Promise((resolve) => {
    const steps = {
        zoom: (n) => Plotly.relayout("progress-plot", { "xaxis.range": [0, page.networks.count * (1 - n / 100)] }),
        scroll: (n) => scrollTo(0, 60 * n),
    };
    const times = [];
    const frame = (now) => {
        times.push(now);
        if (times.length > COUNT) {
            const taken = times.slice(1).map((time, n) => time - times[n]).sort((a, b) => a - b);
            resolve(taken[Math.floor(taken.length / 2)] / 1000);
            return;
        }
        steps[change](times.length);
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
})""".replace("COUNT", str(FRAMES))


def written(run: Path, out: Path, notes: dict[str, str]) -> float:
    """Write the report of `run`, note its size, and return the seconds."""
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        code = populations.main(["report", str(run), "--out", str(out), "--force"])
    assert code == 0
    notes[f"size with {int(run.name):,} networks"] = f"{out.stat().st_size / 1e6:.1f} MB"
    return time.perf_counter() - started


def opened(path: Path, change: str | None) -> float:
    """Open the report at `path` in Chromium; return the seconds until it is drawn, or of a frame of `change`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        started = time.perf_counter()
        page.goto(path.as_uri())
        page.wait_for_selector("#models-table tbody tr")
        page.evaluate("() => new Promise(requestAnimationFrame)")
        taken = time.perf_counter() - started
        if change is not None:
            taken = float(page.evaluate(_FRAMES, change))
        browser.close()
    return taken


def benchmark(quick: bool) -> Benchmark:
    """Return the benchmark; quick: 20 and 40 networks, a browser sees the 40, instead of 1,000 to 100,000."""
    sizes, variants = ((20, 40), 20) if quick else ((1_000, 10_000, 100_000), VARIANTS)
    place = tempfile.TemporaryDirectory()  # until the arms are gone
    root, notes = Path(place.name), {"load before": f"{os.getloadavg()[0]:.1f} processes of others"}
    for size in sizes:
        fill(root / str(size), size, variants)
    if CHROMIUM is None:
        notes["browser"] = "none: no Chromium is installed"
    arms = dict[str, Callable[[], float]](_arms(root, sizes, sizes[-1:] if quick else sizes, notes))
    most, least = f"write {sizes[-1]:,}", f"write {sizes[0]:,}"
    return Benchmark(
        "report",
        "Seconds that a report takes by the number of its networks: to be written; in a headless Chromium without a "
        "GPU, to be opened, and from one frame to the next while a figure zooms and while the page scrolls",
        "s",
        partial(lambda _: in_turn(arms, 1 if quick else 3, warm_up=not quick), place),
        ((most, least),),
        "100,000 networks are written in 10 s and take at most 30 MB; with 10,000 a frame takes at most .1 s",
        notes,
    )


def _arms(
    root: Path, sizes: tuple[int, ...], seen: tuple[int, ...], notes: dict[str, str]
) -> Iterator[tuple[str, Callable[[], float]]]:
    for size in sizes:
        page = root / f"{size}.html"
        yield f"write {size:,}", partial(written, root / str(size), page, notes)
        if CHROMIUM is not None and size in seen:
            yield f"open {size:,}", partial(opened, page, None)
            yield f"frame, zooming {size:,}", partial(opened, page, "zoom")
            yield f"frame, scrolling {size:,}", partial(opened, page, "scroll")
