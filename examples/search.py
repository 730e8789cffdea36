"""Search on handwritten digits, hear of every network as it ends, look at the run: `python examples/search.py`."""

from typing import Any

import evolve
from populations.record import Record
from populations.search.observers import Observer


class Listener(Observer):
    def told(self, record: Record) -> None:
        print(record.id, record.result.status, f"depth {record.candidate.model.depth}")


tiny: dict[str, Any] = {"num_min_depth": 2, "num_max_depth": 8, "train_size": 300, "epochs": 2}
tiny |= {"function_set": "conv_8_3,res_8_3,maxpool,sum", "population": 4, "generations": 2}
run = evolve.run(dataset="digits", **tiny, observers=[Listener()])
print(run.models[["id", "parent", "depth", "params", "val_accuracy"]].to_string(index=False))
print("best:", run.model("best").folder)
