"""The command `replay`: score or train a model again, and say what came of it."""

import argparse

from cgp.errors import BadInput
from cgp.residual_mlp import ResidualMLP
from evaluate.data.splits import load as load_data
from evaluate.job import IMPORTED, recipe
from evaluate.training.train import Diverged
from populations.commands.polish import polish
from populations.reading import replay
from populations.reading.frame import RecordedModel, Run, load
from populations.run_folder.journal import Journal
from populations.run_folder.lock import Lock
from populations.search.asking import session_flags
from populations.setup.config import Config, absolute
from populations.setup.flags import spelled
from populations.setup.recorded import means_as_recorded, refuse_other_images
from populations.terminal.progress import TrainingProgress


def replay_model(arguments: argparse.Namespace) -> int:
    """Score or train a model again; 0 where it is the same to the bit, 1 where it is not.

    Raises BadInput, for a training that diverges too.
    """
    try:
        return _replay(arguments)
    except Diverged as error:
        raise BadInput(str(error)) from error


def _replay(arguments: argparse.Namespace) -> int:
    run = load(arguments.run)
    given = {name: getattr(arguments, name) for name in ("data_dir", "dataset")}
    _take_images_from(run, absolute({name: value for name, value in given.items() if value is not None}))
    model = run.model(arguments.model)
    built = model.model
    print(f"model {model.id}: depth {built.depth}, {built.conv_layers} convolutions, {built.params:,} parameters")
    if arguments.recipe:
        if arguments.retrain or arguments.test:
            raise BadInput("--recipe: trains by another recipe, then tests; expected neither --retrain nor --test")
        return _polish(run, model, arguments)
    _refuse_flags_of_recipes(arguments)
    if arguments.retrain:
        with TrainingProgress(len(model.result.curve) if model.result else 0) as progress:
            again = replay.retrain(run, model, progress)
    else:
        again = replay.rescore(run, model)
    for line in again.stretches:
        print(f"recorded  {line}")
    for name, scores in (("recorded", again.recorded), ("repeated", again.repeated)):
        print(f"{name}  " + "  ".join(f"{metric} {value!r}" for metric, value in scores.items()))
    if again.once:
        print("once      " + "  ".join(f"{metric} {value!r}" for metric, value in again.once.items()))
        print("          (times, and what code of yours returned: measured in the search, and not repeated)")
    if again.weights_equal is not None:
        print(f"weights   {'equal' if again.weights_equal else 'differ'}")
    print("identical to the bit" if again.identical else "NOT identical; what differs in how it was computed:")
    for difference in again.differences or ([] if again.identical else ["nothing that is recorded"]):
        print(f"  {difference}")
    if arguments.test:
        _test(run, model)
    return 0 if again.identical else 1


def _refuse_flags_of_recipes(arguments: argparse.Namespace) -> None:
    if arguments.epochs is not None:
        raise BadInput(f"--epochs: {arguments.epochs} goes with --recipe NAME; a replay trains as recorded")
    if arguments.compile:
        raise BadInput("--compile: goes with --recipe NAME; a replay computes as recorded")
    for name in ("workers", "devices", "executor", "scheduler"):
        if getattr(arguments, name) is not None:
            value = getattr(arguments, name)
            raise BadInput(f"{spelled(name)}: {value} goes with --recipe NAME; a replay computes in its own process")


def _take_images_from(run: Run, moved: dict[str, str]) -> None:
    """Use the images of `run` where the flags in `moved` say that they are now. Raises BadInput for other images."""
    if not moved:
        return
    recorded = Config.of(run.config, run.folder).evaluation.dataset
    name = str(moved.get("dataset", recorded))
    if not means_as_recorded("dataset", recorded, name):
        raise BadInput(f"--dataset {name}: differs from the run's {recorded}; leave it out")
    if "data_dir" in moved and name.startswith("folder:"):
        raise BadInput(f"--data-dir: has no effect on {name}; say where its images are now by --dataset folder:PATH")
    found = load_data(Config.of(run.config | moved, run.folder).data())
    asked = " ".join(f"--{flag.replace('_', '-')} {value}" for flag, value in moved.items())
    refuse_other_images(run.config, found.fingerprint, run.folder, asked)
    run.config |= moved


def _polish(run: Run, model: RecordedModel, arguments: argparse.Namespace) -> int:
    changes = {} if arguments.epochs is None else {"epochs": arguments.epochs}
    chosen = recipe(arguments.recipe, **changes)
    if chosen.schedule == "variation" and not isinstance(model.model, ResidualMLP):
        raise BadInput(f"--recipe {chosen.name}: its rate follows from the weights of residual MLPs; choose another")
    if model.key.stage == IMPORTED:
        _refuse_other_sizes(run, model)
    else:
        _ = model.scored
    print(f"training from scratch on train+validation: recipe {chosen.name}, {chosen.epochs} epochs")
    flags = session_flags(arguments)
    if arguments.workers is None and (arguments.executor or run.config.get("executor", "local")) == "local":
        flags += ["--workers", "1"]  # there is one network
    polished = polish(run, model, chosen, arguments.compile, flags)
    if polished is None:
        print("stopped; the same command goes on")
        return 130
    found = polished.scored.metrics
    said = _said({name.removeprefix("test_"): value for name, value in found.items()})
    print(f"TEST {said} (test images, scored once at the end)")
    print(f"weights: {polished.folder}")
    return 0


def _said(scores: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in scores.items())


def _refuse_other_sizes(run: Run, model: RecordedModel) -> None:
    """Raise BadInput where the images of `run`, which an imported network has not seen yet, are not for it."""
    images, graph = load_data(Config.of(run.config, run.folder).data()), model.model
    if images.shape != graph.image or len(images.classes) != graph.classes:
        raise BadInput(
            f"--recipe: model {model.id} is for images of {tuple(graph.image)} in {graph.classes} classes; those of "
            f"{run.config['dataset']} are {tuple(images.shape)} in {len(images.classes)}; import it for them"
        )


def _test(run: Run, model: RecordedModel) -> None:
    found = replay.test_score(run, model)
    print(f"TEST {_said(found)} (test images; selection never saw them)")
    try:
        lock = Lock(run.folder)
    except (BadInput, OSError) as error:
        print(f"not recorded: {error}")
        return
    journal = Journal(run.folder / "run.sqlite", writable=True, begun=True)
    journal.add_metrics(model.key, {f"test_{name}": value for name, value in found.items()})
    journal.close()
    lock.release()
