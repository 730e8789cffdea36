"""What can be measured of a trained network, by name: one file each, one signature.

To add a measure: write a function like `clean` in a file of its own and enter it in `MEASURES`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from evaluate.measures.clean import clean
from evaluate.measures.corruptions import corruptions, robust
from evaluate.measures.forgetting import forgetting
from evaluate.measures.landscape import landscape
from evaluate.measures.latency import latency
from evaluate.measures.lr_range import lr_range
from evaluate.measures.spectra import spectra
from evaluate.measures.subject import Measured, Subject
from evaluate.measures.variation import variation

#: A function of the network and its images, the options that the task gives, and random numbers of the job's own.
MeasureFunction = Callable[[Subject, Mapping[str, Any], np.random.Generator], Measured]

MEASURES: Mapping[str, MeasureFunction] = {
    "clean": clean,
    "corruptions": corruptions,
    "forgetting": forgetting,
    "landscape": landscape,
    "latency": latency,
    "lr_range": lr_range,
    "robust": robust,
    "spectra": spectra,
    "variation": variation,
}

#: Those that begin with fresh weights, whether the trained ones are still there or not.
UNTRAINED = frozenset({"forgetting", "lr_range"})

#: Those that count what is classified right.
OF_CLASSES = frozenset({"corruptions", "forgetting", "robust"})

#: Those that need options, which the studies of their names give.
OF_STUDIES = frozenset({"forgetting", "landscape", "lr_range"})

__all__ = ["MEASURES", "OF_CLASSES", "OF_STUDIES", "UNTRAINED", "MeasureFunction", "Measured", "Subject"]
