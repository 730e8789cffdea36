"""The report page: what the command writes, and what its user sees and does in a real browser."""

import json
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

import populations.__main__ as cli
from browsing import ERROR, HOSTILE, Visit, hostile, in_a_browser
from harness import ROOT, populations
from populations.figures.chosen import named
from populations.report.data import gathered

FIGURES = ("progress", "sizes", "blocks", "lineage", "curves")


def report(out: Path, *arguments: str | Path) -> Path:
    """Write a report in this process, and return where it is."""
    assert cli.main(["report", *map(str, arguments), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def pages(searched: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report of one run, and one of two, of which the other has a hostile name and failures."""
    folder = tmp_path_factory.mktemp("pages")
    other = hostile(searched, folder)
    return {"one": report(folder / "one.html", searched), "two": report(folder / "two.html", searched, other)}


@pytest.fixture
def visit(browser: Browser, pages: dict[str, Path]) -> Iterator[Visit]:
    """The report of one run; nothing may go wrong on it."""
    with browser.new_context(viewport={"width": 1280, "height": 900}, offline=True) as context:
        visited = Visit(context, pages["one"].as_uri())
        yield visited
        assert visited.heard == []


@in_a_browser
def test_every_figure_is_drawn_in_any_width_by_day_and_by_night(browser: Browser, pages: dict[str, Path]) -> None:
    with browser.new_context(viewport={"width": 1280, "height": 900}, offline=True) as context:
        visited = Visit(context, pages["two"].as_uri())
        for width, scheme in ((1280, "light"), (400, "light"), (400, "dark")):
            visited.page.set_viewport_size({"width": width, "height": 900})
            visited.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            for name in FIGURES:
                assert visited.page.locator(f"#{name}-plot .main-svg").count() > 0
                assert visited.page.locator(f"#{name}-said").inner_text()
            assert visited.page.evaluate("document.documentElement.scrollWidth") == width
        assert visited.heard == []


@in_a_browser
def test_pointing_shows_facts_and_a_click_opens_the_network_which_leads_to_its_kin(visit: Visit) -> None:
    page = visit.page
    place = page.locator("#progress-plot .scatterlayer .points path").first.bounding_box()
    assert place
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    page.wait_for_selector("#tip:visible")
    identity = page.locator("#tip .id").inner_text()
    assert re.fullmatch("[0-9a-f]{12}", identity)
    assert "val_accuracy" in page.locator("#tip").inner_text()
    page.mouse.down()
    page.mouse.up()
    page.wait_for_selector("dialog[open]")
    opened = page.locator("dialog")
    assert opened.locator("h2").inner_text() == identity
    assert page.evaluate("document.querySelector('dialog img').decode().then(() => true)")
    assert str(opened.locator("img").get_attribute("alt")).startswith("A network for images of 1 ")
    assert opened.locator("#opened-plot .main-svg").count() > 0
    assert json.loads(opened.locator(".genome").inner_text())
    told, run = opened.inner_text(), page.evaluate("page.data.runs[0].typed")
    assert f"populations replay {run} {identity}" in told
    assert f"populations export {run} {identity} --out {identity}" in told
    page.keyboard.press("Escape")
    assert opened.is_hidden()
    child = page.evaluate("page.networks.columns.parent.findIndex((parent) => parent !== null)")
    page.evaluate("(row) => page.open(row)", child)
    page.wait_for_selector("dialog[open]")
    assert "Changed from it: " in page.locator("dialog").inner_text()
    name = page.locator("dialog h2").inner_text()
    page.locator("dialog .kin button").first.click()
    page.wait_for_function("(name) => document.querySelector('dialog h2').textContent !== name", arg=name)
    assert page.locator("dialog .kin").last.get_by_role("button", name=name).count() == 1


@in_a_browser
def test_filter_sort_and_columns(visit: Visit) -> None:
    page = visit.page
    depths = visit.names().index("depth") + 1
    page.locator("#models-table th button", has_text="depth").click()
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("depth")
    down = [int(depth) for depth in visit.column(depths)]
    assert down == sorted(down, reverse=True)
    page.keyboard.press("Enter")  # the button that sorts has the focus still
    assert [int(depth) for depth in visit.column(depths)] == sorted(down)
    page.get_by_label("Filter").fill("ok depth<3")
    assert all(int(depth) < 3 for depth in visit.column(depths))
    assert re.fullmatch(r"1 to \d of \d models \(\d in all\)", page.locator("#filter-said").inner_text())
    page.get_by_label("Filter").fill("dept<3")
    assert page.locator("#filter-said").inner_text().startswith("No column dept: one of ")
    page.get_by_label("Filter").fill("")
    page.locator("summary", has_text="Columns").click()
    page.get_by_role("checkbox", name="receptive_field").check()
    page.get_by_role("checkbox", name="flops").uncheck()
    assert "receptive_field" in visit.names()
    assert "flops" not in visit.names()


@in_a_browser
def test_the_keyboard_opens_a_network_and_comes_back(visit: Visit) -> None:
    page = visit.page
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the link that skips to the table
    first = page.locator("#models-table tbody button").first
    first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    assert page.evaluate("document.activeElement.id") == "opened-title"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent") == first.inner_text()
    unnamed = """() => [...document.querySelectorAll("button, input, select")].filter(
        (one) => !one.textContent && !one.labels?.length && !one.ariaLabel).length"""
    assert page.evaluate(unnamed) == 0


@in_a_browser
def test_fresher_data_keep_selection_filter_and_zoom_and_may_be_many(visit: Visit) -> None:
    page = visit.page
    page.get_by_label("Filter").fill("ok")
    page.evaluate("page.open(0)")
    page.wait_for_selector("dialog[open]")
    identity = page.locator("dialog h2").inner_text()
    page.evaluate("Plotly.relayout('progress-plot', {'xaxis.range': [1, 2]})")
    page.evaluate("""() => {
        const data = structuredClone(page.data), { networks } = data;
        for (const column of Object.values(networks)) {  // one more network, above all others
            const list = Array.isArray(column) ? column : column.codes;
            list.unshift(list[0]);
        }
        networks.id[0] = "ffffffffffff";
        const moved = (row) => (row === null ? null : row + 1);
        for (const name of ["parent", "same_as"]) if (networks[name]) networks[name] = networks[name].map(moved);
        for (const table of Object.values(data)) if (table.row) table.row = table.row.map(moved);
        render(data);
    }""")
    assert page.evaluate("document.getElementById('progress-plot').layout.xaxis.range") == [1, 2]
    assert page.locator("dialog[open] h2").inner_text() == identity
    assert page.evaluate("page.networks.id(page.networks.byKey.get(page.selected))") == identity
    page.keyboard.press("Escape")
    assert set(visit.column(visit.names().index("status") + 1)) == {"ok"}
    page.evaluate("""() => {
        const data = structuredClone(page.data);
        for (const name of ["row", "networks", "slot_seconds", "best", "median"]) {
            data.progress[name] = Array.from({ length: 4000 }, (_, n) => data.progress[name][n % 4]);
        }
        render(data);
    }""")
    page.wait_for_selector("#progress-plot .gl-canvas")  # many points are left to the graphics card
    page.evaluate("render.detail = async () => undefined; page.open(0)")
    page.wait_for_selector("dialog[open]")
    assert "are not in this page, which holds those of the best networks" in page.locator("dialog").inner_text()


@in_a_browser
def test_what_a_run_says_is_never_markup(browser: Browser, pages: dict[str, Path]) -> None:
    with browser.new_context(viewport={"width": 1280, "height": 900}, offline=True) as context:
        visited = Visit(context, pages["two"].as_uri())
        page = visited.page
        page.select_option("#sizes-colour", "function_set")
        page.select_option("#blocks-run", HOSTILE)
        failed = page.locator("#failures-table tbody tr")
        assert ERROR in failed.inner_text()
        failed.get_by_role("button").click()
        page.wait_for_selector("dialog[open]")
        assert f"of {HOSTILE}" in page.locator("dialog h2").inner_text()
        assert page.locator("header h1").inner_text() == f"r, {HOSTILE}"
        assert page.evaluate("window.hurt") is None
        assert page.locator("img[src=x]").count() == 0
        assert visited.heard == []


@in_a_browser
def test_runs_are_compared_on_the_same_axes(browser: Browser, pages: dict[str, Path]) -> None:
    with browser.new_context(viewport={"width": 1280, "height": 900}, offline=True) as context:
        page = Visit(context, pages["two"].as_uri()).page
        points = page.locator("#progress-plot .scatterlayer .points path")
        colours = """() => new Set([...document.querySelectorAll("#progress-plot .points path")].map(
            (point) => point.style.fill)).size"""
        both = points.count()
        assert page.evaluate(colours) == 2
        page.locator("#runs input").last.uncheck()
        assert points.count() < both
        assert page.evaluate(colours) == 1
        assert set(page.locator("#jobs-table tbody td:first-child").all_inner_texts()) == {"r"}


def test_colours_of_text_can_be_read() -> None:
    """Text has a contrast of 4.5 with what it stands on (WCAG AA), by day and by night."""
    styles = (ROOT / "populations" / "report" / "assets" / "page.css").read_text()
    for scheme in re.findall(r":root \{(.*?)\}", styles, re.DOTALL):
        named = dict(re.findall(r"--(\w+): (#\w{6})", scheme))
        for text in ("ink", "quiet", "link"):
            for ground in ("paper", "panel"):
                assert contrast(named[text], named[ground]) >= 4.5, (text, ground)


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, as WCAG 2 defines it."""
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """The relative luminance of `#rrggbb`."""
    parts = [part / 255 for part in bytes.fromhex(colour[1:])]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_what_is_embedded_ends_no_script(pages: dict[str, Path]) -> None:
    written = pages["two"].read_text()
    for name in ("data", "details"):
        (embedded,) = re.findall(rf'<script type="application/json" id="{name}">(.*?)</script>', written, re.DOTALL)
        assert "<" not in embedded
        json.loads(embedded)
    data = json.loads(re.findall(r'id="data">(.*?)</script>', written, re.DOTALL)[0])
    assert [run["name"] for run in data["runs"]] == ["r", HOSTILE]
    assert data["failures"]["error"] == [ERROR]
    rows = len(data["networks"]["id"])
    assert {len(column["codes"] if isinstance(column, dict) else column) for column in data["networks"].values()} == {
        rows
    }


def test_a_report_is_written_whole_where_its_user_says(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = populations("report", searched, "--out", "r.html", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "r.html\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", str(searched), "--out", "r.html"]) == 2
    assert capsys.readouterr().err == (
        "populations: error: --out: r.html exists; give another name, or --force to overwrite it\n"
    )
    assert cli.main(["report", str(searched), "--out", "r.html", "--force"]) == 0


def test_a_run_in_which_nothing_has_ended_has_a_report(searched: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    shutil.copytree(searched, begun, symlinks=True)
    with sqlite3.connect(begun / "run.sqlite") as db:
        for name in ("details", "metrics", "results", "generations"):
            db.execute(f"delete from {name}")
    db.close()
    written = report(tmp_path / "begun.html", begun).read_text()
    data = json.loads(re.findall(r'id="data">(.*?)</script>', written, re.DOTALL)[0])
    assert data["progress"]["row"] == data["sizes"]["row"] == data["curves"]["row"] == []
    assert data["networks"]["status"]["words"] == ["open"]


def test_of_many_networks_the_report_holds_a_part_and_says_so(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("populations.report.data.POINTS", 3)
    monkeypatch.setattr("populations.report.details.DETAILED", 2)
    written = report(tmp_path / "r.html", searched).read_text()
    data, details = (json.loads(found) for found in re.findall(r'json" id="\w+">(.*?)</script>', written, re.DOTALL))
    trained = sum(status == 0 for status in data["networks"]["status"]["codes"])
    assert data["notes"]["progress"].startswith(f"Shown are {len(data['progress']['row'])} of {trained} networks: ")
    assert len(data["progress"]["row"]) < trained
    assert len(details["r"]) == 2
    assert data["runs"][0]["best"] in details["r"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere", "--out", "r.html"), "nowhere: no such run folder"),
        (("{run}", "--out", "r.pdf"), "--out: r.pdf is of no known kind; expected .html"),
        (("{run}", "--out", "none/r.html"), "--out: none/r.html: there is no folder none; make it first"),
        (("{run}", "{run}", "--out", "r.html"), "given 2 times; expected each run once"),
    ],
)
def test_bad_input_is_one_line(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...], said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", *(argument.format(run=searched) for argument in arguments)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error
    assert list(tmp_path.iterdir()) == []


def test_without_plotly_a_line_says_what_to_install(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    assert cli.main(["report", str(searched), "--out", str(tmp_path / "r.html")]) == 2
    assert capsys.readouterr().err == (
        "populations: error: report: needs plotly, which is not installed: pip install 'cgp-evolve[report]'\n"
    )


def test_the_images_of_a_folder_are_named_as_one_types_them(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"dataset": f"folder:{run.parent}/photos"}))
    for cwd, name in ((run.parent, "folder:photos"), (run, f"folder:{run.parent}/photos")):
        monkeypatch.chdir(cwd)
        assert gathered(named([run]))["runs"][0]["facts"]["dataset"] == name
