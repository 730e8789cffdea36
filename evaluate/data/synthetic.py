"""Data that are made, not read: functions of one number, to be learned as a regression.

As ladezai/residual-network makes them, from random numbers of their own: equal options, equal data.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from cgp.errors import BadInput, did_you_mean

SYNTHETIC = ("sin", "constant")
_SEED = 0


@dataclass(frozen=True)
class Synthetic:
    """Which function, of how many points: `NAME`, or `NAME:n=1000,c=0.01,p=2` with any of these."""

    name: str  #: of `SYNTHETIC`
    n: int = 1000  #: points, for all splits together
    c: float = 0.01  #: of `sin`: how close its points lie together; of `constant`: its value
    p: float = 2.0  #: of the loss |y - prediction|^p

    @classmethod
    def parsed(cls, text: str) -> "Synthetic":
        """Return what `--dataset` asks for. Raises BadInput for an unknown option, or a value out of range."""
        name, colon, given = text.partition(":")
        kinds = {field.name: int if field.name == "n" else float for field in fields(cls)[1:]}
        values = dict[str, float]()
        for part in given.split(",") if colon else ():
            option, _, value = part.partition("=")
            if option not in kinds:
                expected = f"{did_you_mean(option, kinds)}; expected {', '.join(f'{kind}=VALUE' for kind in kinds)}"
                raise BadInput(f"--dataset {text}: no option {option!r}{expected}")
            try:
                values[option] = kinds[option](value)
            except ValueError as error:
                raise BadInput(f"--dataset {text}: {option}={value}; expected a number") from error
        made = cls(name, **values)  # type: ignore[arg-type]  # each in its kind
        for option, number, lowest, highest in (
            ("n", made.n, 20, 10**7),
            ("c", made.c, -100, 100),
            ("p", made.p, 1, 100),
        ):
            if not lowest <= number <= highest:
                raise BadInput(f"--dataset {text}: {option}={number}; expected {lowest}..{highest}")
        return made

    def points(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return inputs and values, each (n, 1).

        Of `sin`: x uniform in ±sqrt(K) with K = e^(-4c) / (8n), so that the products of any two are at most K, and
        sin(pi x / sqrt(K)). Of `constant`: x uniform in ±1, and c.
        """
        uniform = np.random.default_rng(_SEED).uniform(-1, 1, (self.n, 1))
        if self.name == "constant":
            return uniform.astype(np.float32), np.full((self.n, 1), self.c, np.float32)
        reach = math.sqrt(math.exp(-4 * self.c) / (8 * self.n))
        return (reach * uniform).astype(np.float32), np.sin(math.pi * uniform).astype(np.float32)
