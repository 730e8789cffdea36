"""The report as one HTML file: the template with styles, scripts and data in it. No torch."""

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


def page(data: dict[str, Any], details: dict[str, Any], plotly: str) -> str:
    """Return the page that shows `data`, and the `details` of networks, by run and id, when they are opened."""
    assets = resources.files("populations.report") / "assets"
    scripts = "\n".join((assets / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    return Template((assets / "page.html").read_text(encoding="utf-8")).substitute(
        styles=(assets / "page.css").read_text(encoding="utf-8"),
        plotly=plotly,
        scripts=scripts,
        data=_embedded(data),
        details=_embedded(details),
    )


def _embedded(value: Any) -> str:
    """Return JSON that is no markup: every `<` is escaped, and with it what ends a script or begins a comment."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
