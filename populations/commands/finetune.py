"""The command `finetune`: a trained network trained on, on other images, as a run of its own.

It is a search of one network, `evolve.py --weights FILE`, so it resumes and replays as any.
"""

import argparse
import sys

from cgp.errors import BadInput
from evaluate.files import BEST
from populations.reading.frame import load
from populations.search.conduct import conduct
from populations.search.stop import Stopped
from populations.setup.config import parse
from populations.setup.flags import OF_FINETUNE, spelled, words_of
from populations.terminal.programs import search_command
from populations.terminal.screen import Screen


def finetune_model(arguments: argparse.Namespace) -> int:
    """Train a model on, and return 0: done, or 130: stopped."""
    run = load(arguments.run)
    model = run.model(arguments.model)
    weights = model.folder / BEST
    if not weights.exists():
        status = model.result.status if model.result else "open"
        found = f"model {model.id}: has no weights ({weights}), its status is {status}"
        raise BadInput(f"{found}; expected a trained model whose weights are kept")
    flags = {name: getattr(arguments, spelled(name)) for name in OF_FINETUNE}  # `--run` is not the run that is given
    given = {name: value for name, value in flags.items() if value is not None}
    height, width = model.model.image[1:]
    if given["dataset"].startswith("folder:") and height == width:
        given.setdefault("image_size", height)
    given.setdefault("preprocess", run.config.get("preprocess", "standard"))
    if given.get("executor", "local") == "local":
        given.setdefault("workers", 1)  # there is one network
    config = parse(["--weights", str(weights), *words_of(given)])
    try:
        _, finished = conduct(config, Screen())
    except Stopped as stopped:
        again = f"at once; go on with: {search_command()} --resume {stopped.folder}"
        print(f"stopped {again if stopped.folder else 'before the training began'}", file=sys.stderr)
        return 130
    return 0 if finished else 130
