"""The live page: what its user sees while a search runs in another process, and who may not see it."""

import gzip
import json
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic, sleep

import pytest
from playwright.sync_api import Browser, Page

import populations.__main__ as cli
from browsing import ERROR, HOSTILE, Visit, hostile, in_a_browser
from harness import ROOT, TINY, Started, on_read_only_media, start, wait_for
from populations.report import live
from populations.report.live import Live

LONG = (
    *TINY,
    "--generations",
    "500",
    "--workers",
    "1",
    "--epochs",
    "1",
    "--train-size",
    "60",
)  # nobody waits for its end
ENDED = """(count) => { const { words, codes } = page.networks.columns.status;
    return codes.filter((code) => words[code] !== "open").length > count; }"""


@contextmanager
def watching(*runs: Path, port: int = 0) -> Iterator[str]:
    """Watch `runs` in a process of its own, and yield the address; it ends by Ctrl-C, as its user does it."""
    words: list[str | Path] = ["watch", *runs, "--port", str(port)]
    process = Started(ROOT / "populations" / "__main__.py", words, runs[0].parent, apart=True)
    give_up = monotonic() + 60
    while "\n" not in process.said:
        assert process.poll() is None, process.communicate()
        assert monotonic() < give_up
        sleep(0.02)
    address = process.said.partition(" ")[0]
    yield address
    os.kill(process.pid, signal.SIGINT)
    output, errors = process.communicate()
    assert (process.returncode, output, errors) == (130, f"{address} (Ctrl-C ends this page, no search)\n", "")


@contextmanager
def visiting(browser: Browser, address: str) -> Iterator[Visit]:
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        context.set_default_timeout(120_000)
        yield Visit(context, address)


def says(page: Page, words: str) -> None:
    """Wait until the page says `words` of its runs."""
    page.wait_for_function("(words) => document.getElementById('live').textContent.includes(words)", arg=words)


@in_a_browser
def test_the_page_follows_a_search_that_stops_and_goes_on(browser: Browser, tmp_path: Path) -> None:
    search = start(*LONG, "--run", "r", cwd=tmp_path)
    wait_for(tmp_path / "r", "models/*/best.safetensors", 1, search)
    with watching(tmp_path / "r") as address, visiting(browser, address) as visited:
        page = visited.page
        page.wait_for_function(ENDED, arg=0)
        says(page, "Searching: results appear here as they come.")
        page.evaluate("page.open(0)")
        page.wait_for_selector("dialog[open]")
        identity = page.locator("dialog h2").inner_text()
        page.evaluate("Plotly.relayout('progress-plot', {'xaxis.range': [1, 2]})")
        count = page.evaluate("page.networks.count")
        page.wait_for_function(ENDED, arg=count)  # so networks have come that were not there
        assert page.evaluate("document.getElementById('progress-plot').layout.xaxis.range") == [1, 2]
        assert page.locator("dialog[open] h2").inner_text() == identity
        assert page.evaluate("page.networks.id(page.networks.byKey.get(page.selected))") == identity
        page.keyboard.press("Escape")
        os.kill(search.pid, signal.SIGINT)
        search.communicate()
        says(page, "The search has stopped; once it is resumed, this page goes on with it.")
        assert page.locator("dialog[open]").count() == 0
        count = page.evaluate("page.networks.count")
        best = page.locator("#models-table tbody button").first
        best.focus()
        identity = best.inner_text()
        resumed = start("--resume", "r", cwd=tmp_path)
        page.wait_for_function(ENDED, arg=count)
        says(page, "Searching")
        assert page.evaluate("document.activeElement.textContent") == identity
        os.killpg(resumed.pid, signal.SIGKILL)
        resumed.communicate()
        says(page, "has stopped")
        assert visited.heard == []


@in_a_browser
def test_what_a_run_says_is_never_markup_and_the_page_outlives_its_server(
    browser: Browser, searched: Path, tmp_path: Path
) -> None:
    other = hostile(searched, tmp_path)
    with browser.new_context() as context:
        with watching(searched, other) as address:
            visited = Visit(context, address)
            page = visited.page
            says(page, f"r, {HOSTILE}: The search has ended.")
            failed = page.locator("#failures-table tbody tr")
            assert ERROR in failed.inner_text()
            failed.get_by_role("button").click()
            page.wait_for_selector("dialog[open]")
            assert f"of {HOSTILE}" in page.locator("dialog h2").inner_text()
            assert page.locator("dialog img").count() == 1  # its drawing came from the server
            assert visited.heard == []
            (other / "run.sqlite").rename(other / "gone")
            says(page, f"{HOSTILE}: not a run folder, it has no run.sqlite")
            (other / "gone").rename(other / "run.sqlite")
            says(page, "has ended")
        says(page, "The command “watch” does not answer")
        with watching(searched, other, port=int(address.split(":")[2].strip("/"))):
            says(page, "has ended")
        assert page.evaluate("window.hurt") is None
        assert page.locator("img[src=x]").count() == 0


def asked(address: str, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Ask the server as any program can, and return its status, headers and content."""
    connection = HTTPConnection(address.removeprefix("http://").rstrip("/"))
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content


def test_only_the_page_itself_can_read_it(run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    with watching(run) as address:
        port = address.rstrip("/").rpartition(":")[2]
        status, headers, content = asked(address, "/data")
        assert (status, headers["content-type"]) == (200, "application/json")
        assert headers["x-content-type-options"] == "nosniff"
        assert json.loads(content)["runs"][0]["name"] == "r"
        assert asked(address, "/data", If_None_Match=headers["etag"])[::2] == (304, b"")
        _, packed, small = asked(address, "/data", Accept_Encoding="gzip")
        assert packed["content-encoding"] == "gzip"
        assert gzip.decompress(small) == content
        own: list[dict[str, str]] = [
            {"Host": f"localhost:{port}"},
            {"Origin": address.rstrip("/"), "Sec_Fetch_Site": "same-origin"},
            {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"},  # a link
        ]
        assert [asked(address, "/data", **named)[0] for named in own] == [200] * 3
        foreign: list[dict[str, str]] = [
            {"Host": f"elsewhere.example:{port}"},
            {"Origin": "http://elsewhere.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:1"},
            {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"},
            {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors"},  # another port
        ]
        identity = json.loads(content)["networks"]["id"][0]
        for path in ("/", "/data", f"/detail?run=r&id={identity}"):
            refused = [asked(address, path, **named) for named in foreign]
            assert [status for status, *_ in refused] == [400, *[403] * 5]
            assert max(len(told) for _, _, told in refused) < 40
            _, headers, _ = asked(address, path)
            assert "access-control-allow-origin" not in headers
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert headers["content-security-policy"] == "frame-ancestors 'none'"
            assert headers["cache-control"] == "no-store"
        page = asked(address, "/")[2].decode()
        assert "connect-src 'self'" in page
        assert identity not in page
        assert json.loads(asked(address, f"/detail?run=r&id={identity}")[2])["drawing"].startswith("<svg")
        wrong = ("/detail?run=r&id=none", f"/detail?run=..&id={identity}", "/detail", "/run.sqlite", "/../r")
        assert {asked(address, path)[0] for path in wrong} == {404}
        assert {asked(address, "/data", method)[0] for method in ("POST", "OPTIONS", "DELETE")} == {405}
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before  # it only reads


def changed(run: Path, statement: str) -> None:
    with sqlite3.connect(run / "run.sqlite") as db:
        assert db.execute(statement).rowcount == 1
    db.close()


def test_data_are_gathered_where_there_is_news_and_not_without_rest(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed = Live([run])
    first = followed.data()
    assert followed.data() is first
    changed(run, "update sessions set wall = wall + 1 where session = 1")  # as a driver does every second
    assert followed.data() is first
    monkeypatch.setattr(live, "monotonic", lambda: 1e9)  # long afterwards
    changed(run, "insert into metrics values (1, 0, 'test_accuracy', 0.5)")
    second = followed.data()
    assert second.version != first.version
    assert 0.5 in json.loads(second.text)["networks"]["test_accuracy"]
    changed(run, "insert into metrics values (1, 0, 'test_loss', 0.5)")
    assert followed.data() is second  # at the same moment
    monkeypatch.setattr(live, "monotonic", lambda: 2e9)
    assert followed.data().version != second.version


def test_a_run_is_watched_on_read_only_media(run: Path) -> None:
    script = (
        "from pathlib import Path; from populations.report.live import Live; print(Live([Path('r')]).data().text)"
    )
    done = on_read_only_media(run.parent, sys.executable, "-c", script)
    assert done.stderr == ""
    assert '"name":"r"' in done.stdout


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["watch", *words]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    return line.removeprefix("populations: error: ")


def test_bad_input_is_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused([str(tmp_path / "nowhere")], capsys).endswith(
        "nowhere: no such run folder; see: python -m populations list"
    )
    assert "not a run folder, it has no run.sqlite" in refused([str(tmp_path)], capsys)
    assert refused([str(run), str(run)], capsys).endswith("given 2 times; expected each run once")
    assert refused([str(run), "--port", "many"], capsys) == "--port: 'many'; expected a whole number; see --help"
    for port in ("70000", "-1"):
        assert refused([str(run), "--port", port], capsys) == (
            f"--port: {port} is no port; expected 1 to 65535, or 0 for any that is free"
        )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert refused([str(run), "--port", port], capsys) == (
            f"--port: {port}: Address already in use; give another one, or 0 for any that is free"
        )
    with sqlite3.connect(run / "run.sqlite") as db:
        for name in ("proposals", "details", "metrics", "results", "tasks", "jobs"):
            db.execute(f"delete from {name}")
    db.close()
    assert refused([str(run)], capsys).endswith("has no models yet; expected a run that has begun, try again later")


def test_without_the_extra_one_line_says_what_to_install(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name == "uvicorn" else name)
    assert refused([str(run)], capsys) == "uvicorn is not installed here; install it: pip install 'cgp-evolve[web]'"
