"""Tables on a terminal."""

import pandas as pd
import pytest

from populations.terminal.tables import print_table


def test_small_numbers_keep_their_digits(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(pd.DataFrame({"rate": [0.03, 1e-5, 0.0, -0.00025]}), "table")
    assert capsys.readouterr().out.split() == ["rate", "0.0300", "1e-05", "0.0000", "-0.00025"]
