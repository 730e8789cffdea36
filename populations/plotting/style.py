"""Sizes, letters and inks of a paper's figure. No torch."""

from typing import Any

WIDTH, HEIGHT = 3.35, 2.4  #: of a panel, in inches: the column of a page with two
SMALL = (1.1, 0.9)  #: of a panel in a grid of many
DPI = 300  #: of .png, and of the points that a vector file holds as an image
MANY = 2000  #: points, beyond which they are that image: a page with each of them drawn takes long to turn
INK, QUIET, LINE, BLUE, VERMILION = "#000000", "#808080", "#b8b8b8", "#0072b2", "#d55e00"  # Okabe and Ito's colours
HATCHES = (
    "",
    "////",
    "..",
    "xxxx",
    "----",
    "\\\\\\\\",
    "++++",
    "||||",
)  # of kinds of blocks, seen in grey; dots take many bytes

SETTINGS: Any = {  # of matplotlib, by its names
    "font.size": 8,
    "font.family": ["Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.5,
    "hatch.linewidth": 0.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "pdf.fonttype": 42,  # letters stay letters
    "svg.fonttype": "none",
    "svg.hashsalt": "cgp-evolve",  # the same run gives the same file
}
