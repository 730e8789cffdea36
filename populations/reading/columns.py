"""What each column of the models table means, and its unit. No torch."""

from evaluate.metrics import METRICS

_FACTS = {
    "id": "name of the model, and of its folder in `models/`: 12 hexadecimal digits that its job and graph decide",
    "stage": "what its job was for: `search`, `final` (the final ranking of `--inherit`), `confirmed` (of "
    "`--confirm`), `polish` (of `replay --recipe`), or a command, as `confirm`",
    "job": "number of the job, from 0 within its stage",
    "generation": "generation that it was bred for, from 0",
    "parent": "id of the parent; empty for a random draw",
    "status": "`ok`; `pruned`: ended by racing, its scores are those until then; `failed`: it raised an error; "
    "`diverged`: its loss was no number; `oom`: out of memory; `timeout`: beyond `--timeout`; `lost`: its worker "
    "vanished twice; `open`: no result yet",
    "function_set": "`--function-set` of the run, or its `--family`; of `finetune` its `--mode`",
    "depth": "active nodes",
    "conv_layers": "convolutions on the longest path",
    "receptive_field": "side of the part of the image that an output sees, in pixels",
    "epochs": "epochs trained",
    "seed": "seed of its training, which the run's seed and the job number decide",
    "same_as": "id of the model with the same graph whose result it took over; empty for one that was trained",
    "scratch_share": "share of the parameters that began fresh, 0..1, of a child (`--inherit`) or of a network that "
    "is trained on (`finetune`); else empty",
    "run": "name of the run folder",
    "reason": "why the strategy `screened` chose it: `start` (its first generation), `draw` (a plain draw) or "
    "`screened` (the best that was foretold); empty for other strategies",
    "predicted": "its first objective as it was foretold; empty unless it was screened",
    "dataset": "`--dataset` of the run",
}
SHARED = ("function_set", "run", "dataset")  #: the same for every model of a run
_ORDER = (
    *(
        "id",
        "stage",
        "job",
        "generation",
        "parent",
        "status",
        "function_set",
        "depth",
        "conv_layers",
        "params",
        "flops",
    ),
    *("receptive_field", "val_accuracy", "val_loss", "epochs", "seconds", "peak_memory_mb", "seed", "same_as"),
    *("scratch_share", "train_accuracy", "run", "dataset", "reason", "predicted", "test_accuracy"),
)
_MEANINGS = _FACTS | {name: metric.meaning for name, metric in METRICS.items()}

#: In the order of the table, a later metric behind the others; `test_accuracy` is there once a test was asked for.
COLUMNS = {name: _MEANINGS[name] for name in (*_ORDER, *(name for name in METRICS if name not in _ORDER))}
