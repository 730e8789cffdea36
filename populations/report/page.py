"""The page as one HTML file, and as a report: with all its data in it. No torch."""

import json
from importlib import resources
from string import Template
from typing import Any

from cgp.errors import BadInput

_SCRIPTS = ("networks.js", "drawing.js", "figures.js", "table.js", "opened.js", "render.js")  # in this order


def plotly_script() -> str:
    """Return plotly.js. Raises BadInput where plotly is not installed."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise BadInput("report: needs plotly, which is not installed: pip install 'cgp-evolve[report]'") from error
    return str(get_plotlyjs())


def report(data: dict[str, Any], details: dict[str, Any], plotly: str) -> str:
    """Return the page that shows `data`, and the `details` of networks, by run and id, when they are opened."""
    return page(plotly, _filled("embedded.html", data=_embedded(data), details=_embedded(details)), "'none'")


def live_page(plotly: str) -> str:
    """Return the page that asks the server that it came from for its data, again and again."""
    return page(plotly, _asset("live.html"), "'self'")


def page(plotly: str, start: str, connect: str) -> str:
    """Return the page without data; `start` is markup behind its scripts, which sees to it that `render` is called.

    `connect` says whom it may ask for more, as a content security policy does: `'none'`, or `'self'` of a server.
    """
    scripts = "\n".join(_asset(name) for name in _SCRIPTS)
    return _filled(
        "page.html", styles=_asset("page.css"), plotly=plotly, scripts=scripts, start=start, connect=connect
    )


def _filled(name: str, **values: str) -> str:
    return Template(_asset(name)).substitute(values)


def _asset(name: str) -> str:
    return (resources.files("populations.report") / "assets" / name).read_text(encoding="utf-8")


def _embedded(value: Any) -> str:
    """Return JSON that is no markup: every `<` is escaped, and with it what ends a script or begins a comment."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
