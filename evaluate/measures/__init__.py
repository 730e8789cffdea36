"""What can be measured of a trained network, by name: one file each, one signature.

To add a measure: write a function like `clean` in a file of its own and enter it in `MEASURES`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from evaluate.measures.clean import clean
from evaluate.measures.corruptions import corruptions, robust
from evaluate.measures.forgetting import forgetting
from evaluate.measures.latency import latency
from evaluate.measures.spectra import spectra
from evaluate.measures.subject import Measured, Subject
from evaluate.measures.variation import variation

#: A function of the network and its images, the options that the task gives, and random numbers of the job's own.
MeasureFunction = Callable[[Subject, Mapping[str, Any], np.random.Generator], Measured]

MEASURES: Mapping[str, MeasureFunction] = {
    "clean": clean,
    "corruptions": corruptions,
    "forgetting": forgetting,
    "latency": latency,
    "robust": robust,
    "spectra": spectra,
    "variation": variation,
}

__all__ = ["MEASURES", "MeasureFunction", "Measured", "Subject"]
