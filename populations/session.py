"""How the user of a search ends it."""

import signal
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from populations.store import Store


class Stop:
    """Ctrl-C or SIGTERM: once, stop asking and let workers checkpoint; twice, at once."""

    def __init__(self, store: "Store") -> None:
        """Take over both signals; what this driver was asked before still holds."""
        self.asked, self._file = store.stop_file.exists(), store.stop_file
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._file.touch()
