"""Every flag of `evolve.py`, in the groups of its help: a new one is one line here.

A flag is a field: its name, its type, its default, what it says, whether another value makes it another search,
and what a run meant that was recorded before it was there. All that reads or writes flags (command line, TOML,
Python, `config.json`, docs/reference.md) knows them from here.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, Final, Literal, NamedTuple, TypeVar, get_args, get_type_hints

from cgp.blocks import FUNCTION_SETS
from cgp.families import FAMILIES
from cgp.feature_amounts import DEPTHS
from cgp.residual_mlp import ACTIVATIONS, BEGINNINGS, BLOCKS
from cgp.wiring import WIRINGS
from evaluate.data.datasets import dataset_names
from evaluate.foreign import EXPECTED
from evaluate.job import INITIALISATIONS, OPTIMIZERS, PRECISIONS, PREPROCESSINGS, RECIPES, RECORDED, SCHEDULES
from evaluate.metrics import OBJECTIVES
from populations.search.rung_scores import RUNG_SCORES
from populations.setup.executors import EXECUTORS
from populations.strategies import AUTO, STRATEGIES, Strategy, strategy_class, usual
from populations.strategies.confirmation import LONGER, SEEDS

T = TypeVar("T")
USUAL: Final = "usual"  # default of --max-flops, which depends on the images


def flag(default: T, help: str, *, search: bool = True, before: T | EllipsisType = ..., bare: T | None = None) -> T:
    """Return a field that is a flag.

    `search`: another value makes it another search, which cannot be resumed. `before`: what a run meant that was
    recorded before it was there; a flag without that was there from the first run of format 2 on. `bare`: what it
    means on a command line that gives it no value; None where it has to have one.
    """
    about = {"help": help, "search": search, "before": before, "bare": bare}
    return dataclasses.field(default=default, metadata=about)


def _from_recipe(what: str) -> str:
    return f"{what} [default: the recipe's]"


def _or(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


_LIMITED = [
    f"{name} {known.max_params // 10**6} million" for name, known in FUNCTION_SETS.items() if known.max_params
]
_POPULATIONS = [
    f"of {name} {known.usual_population}"
    for name, known in STRATEGIES.items()
    if known.usual_population != Strategy.usual_population
]
_OFFSPRING = [f"of {name} {known.usual_offspring}" for name, known in STRATEGIES.items() if known.usual_offspring]
_PLACES = [f"{name} ({executor.where})" for name, executor in EXECUTORS.items()]


#: How a network is trained on, and what that means.
MODES = {
    "finetune": "finetune (all of it, the head anew)",
    "probe": "probe (the head alone)",
    "from-scratch": "from-scratch (all anew, to compare)",
}


# fmt: off
@dataclass(frozen=True)
class SpaceFlags:
    """What may be drawn."""

    num_min_depth: int = flag(20, "fewest active nodes of a genome")
    num_max_depth: int = flag(70, "most active nodes of a genome")
    function_set: str = flag("resnet", f"{', '.join(FUNCTION_SETS)}, or blocks with commas")
    wiring: str = flag("sequential", f"how genes mean connections: {_or(list(WIRINGS))}", before="sequential")
    rows: int = flag(5, "of --wiring grid: nodes in a column", before=5)
    columns: int | None = flag(None, "of --wiring grid: nodes in a row [default: as many as the most active nodes]", before=None)
    levels_back: int = flag(10, "how many nodes back a second input may reach; of --wiring grid, columns back any input may")
    head: str = flag("pool", "what the last linear layer reads: pool (the mean over all pixels) or flatten (every number of the last map)", before="pool")
    norm_epsilon: float | None = flag(None, "what batch normalisation adds to a variance [default: 1e-5; of --family vgg-features 1e-4]", before=None)
    max_params: int | None = flag(None, f"limit on trainable parameters [default: {'; '.join(['none', *_LIMITED])}]")
    max_flops: int | Literal["usual"] | None = flag(USUAL, f"limit on forward FLOPs per image, 0 for none; {USUAL}: half a million a pixel, as a ResNet-110 has")


@dataclass(frozen=True)
class EvolutionFlags:
    """Who lives, who breeds."""

    strategy: str = flag(AUTO, f"{', '.join(STRATEGIES)}, or {AUTO}: {usual(None)}, with a --population below {strategy_class(usual(None)).fewest} {usual(1)}")
    family: str | None = flag(None, f"train the networks of a family instead of a search: {', '.join(FAMILIES)}", before=None)
    vgg_depth: int = flag(16, f"of --family vgg-features: how many layers have weights, {_or(list(map(str, DEPTHS)))}", before=16)
    features_total: int | None = flag(None, "of --family vgg-features: features of all layers [default: as the VGG of that depth, 5248 at depth 16]", before=None)
    exact_total: bool = flag(False, "of --family vgg-features: give every variant exactly the total, instead of rounding each layer up", before=False)
    variants: int | None = flag(None, "of --family vgg-features: how many variants to train, evenly spread over all [default: all]", before=None)
    population: int | None = flag(None, f"networks of generation 0, and survivors of each later one (one-plus-lambda: one) [default: {', '.join([*_POPULATIONS, f'else {Strategy.usual_population}'])}]")
    offspring: int | None = flag(None, f"children a generation; not of random, which draws --population networks each time [default: {', '.join([*_OFFSPRING, 'else --population'])}]")
    generations: int = flag(3, "generations, the random one included", search=False)
    mutation_rate: float = flag(0.05, "chance of each gene to change")
    objectives: str = flag("val_accuracy,params", f"{', '.join(OBJECTIVES)}, or {EXPECTED}; later ones break ties (of nsga2 all count)")
    re_evaluate: bool = flag(False, "train a graph again although it was scored before")
    seed: int = flag(0, "of the search; children and trainings derive theirs from it")
    deterministic: bool = flag(False, "of aging: breed as if results came in order of number", before=False)
    racing: bool = flag(True, "stop trainings whose score at a rung (--rung-score) is not in the best third; never with nsga2", before=False)
    rungs: str | None = flag(None, "epochs after which racing judges [default: a ninth and a third of them]", before=None)
    rung_score: str = flag("smoothed", f"by what racing judges: {_or([f'{name} ({score.what})' for name, score in RUNG_SCORES.items()])}", before="accuracy")
    confirm: int = flag(0, f"in the end train so many of the best {SEEDS} times more, on fresh seeds and {LONGER} times as long, and let the mean decide", search=False, before=0)
    inherit: bool = flag(False, "children begin with their parent's weights; the last population, from scratch", before=False)

    @property
    def sizes(self) -> tuple[int, int]:
        """Networks of generation 0, and children of each later one: as usual with the strategy, unless a flag says.

        Raises BadInput for an unknown strategy.
        """
        chosen = strategy_class(self.strategy)
        population = chosen.usual_population if self.population is None else self.population
        offspring = chosen.usual_offspring if self.offspring is None else self.offspring
        return population, population if offspring is None else offspring


@dataclass(frozen=True)
class MlpFlags:
    """The residual MLPs of --family residual-mlp."""

    mlp_depths: str = flag("10,100,1000", "how many blocks each has, with commas", before="10,100,1000")
    mlp_width: int = flag(16, "numbers between two blocks", before=16)
    mlp_block: str = flag("skip", f"what a block does: {_or([f'{name} ({what})' for name, what in BLOCKS.items()])}", before="skip")
    mlp_activation: str = flag("tanh", ", ".join(ACTIVATIONS), before="tanh")
    mlp_alpha: float = flag(0.75, "each of L blocks adds L^-alpha times what it computes; 0..1", before=0.75)
    mlp_beta: float | None = flag(None, "weights are expected to shrink with L, the number of blocks, as L^-beta; 0..1 [default: 1 - alpha]", before=None)
    mlp_gamma: float = flag(1.0, "weights begin between -m and m, where m is half of L^(-beta - 1/gamma); above 0", before=1.0)
    mlp_begins: str = flag("ntrunc", f"how weights begin: {_or([f'{name} ({what})' for name, what in BEGINNINGS.items()])}", before="ntrunc")

    @property
    def of_each(self) -> dict[str, Any]:
        """The fields of `ResidualMLP` that all of them have in common, but for their width."""
        return {
            "block": self.mlp_block,
            "activation": self.mlp_activation,
            "alpha": self.mlp_alpha,
            "beta": 1 - self.mlp_alpha if self.mlp_beta is None else self.mlp_beta,
            "gamma": self.mlp_gamma,
            "begins": self.mlp_begins,
        }


@dataclass(frozen=True)
class EvaluationFlags:
    """What a network is worth: on which images, trained how."""

    dataset: str = flag("digits", ", ".join(dataset_names()))
    data_dir: str = flag("data", "where torchvision's dataset files are", search=False)
    download: bool = flag(False, "download the dataset into --data-dir", search=False)
    train_size: int | None = flag(None, "stratified subset of the training images [default: all]")
    val_size: str = flag("auto", "stratified subset of the validation images: a number, all, or auto: as large a share as --train-size, at least 10 a class", before="all")
    image_size: int | None = flag(None, "crop and scale folder: images to this side, pixels [default: as they are]")
    preprocess: str = flag("standard", f"what is made of pixels: {_or(list(PREPROCESSINGS))}", before="standard")
    recipe: str = flag("fast", ", ".join(RECIPES))
    epochs: int | None = flag(None, _from_recipe("passes over the training images"))
    batch_size: int | None = flag(None, _from_recipe("images a step, 0: all"))
    optimizer: str | None = flag(None, _from_recipe(", ".join(OPTIMIZERS)))
    lr: float | None = flag(None, _from_recipe("highest learning rate; of --schedule variation that of the first epoch"))
    schedule: str | None = flag(None, _from_recipe(", ".join(SCHEDULES)))
    weight_decay: float | None = flag(None, _from_recipe("L2 penalty of the weights"))
    momentum: float | None = flag(None, _from_recipe("Nesterov momentum of sgd"))
    label_smoothing: float | None = flag(None, _from_recipe("share spread over all classes"))
    init: str | None = flag(None, _from_recipe(", ".join(INITIALISATIONS)))
    init_beta: float | None = flag(None, _from_recipe("of --init depth_scaled: Kaiming's weights are multiplied by L^-BETA, where L is the number of layers"), before=0.5)
    patience: int | None = flag(None, _from_recipe("stop after so many epochs without improvement, 0 never"))
    precision: str | None = flag(None, _from_recipe(", ".join(PRECISIONS)))
    augment: bool | None = flag(None, _from_recipe("shift images, and mirror them where that is fair"))
    dropout: float | None = flag(None, _from_recipe("share of what the last linear layer reads that is dropped in training"), before=0.0)
    abandon: int | None = flag(None, _from_recipe("stop after so many epochs with a validation accuracy below twice chance, 0 never"), before=0)
    cuda_graphs: bool | None = flag(None, _from_recipe("on GPUs, start the kernels of a step as one graph"), before=False)
    ghost_batch: int | None = flag(None, _from_recipe("images that batch normalisation takes the statistics of, a divisor of --batch-size; 0 the whole batch"), before=0)
    memory_limit: int | None = flag(None, _from_recipe("MB that a training may take on a worker, by prediction: where it would take more, batches are split, down to --ghost-batch images; 0 no limit"), before=0)
    checkpoint_activations: bool | None = flag(None, _from_recipe("compute activations again on the way back instead of keeping them"), before=False)
    record: str | None = flag(None, f"what to record of each training beside its scores: {', '.join(RECORDED)} (of each layer, after each epoch; shown by studies activations)", search=False, before="")


@dataclass(frozen=True)
class BeginningFlags:
    """What a trained network begins with that is trained on, instead of a search."""

    weights: str | None = flag(None, "train the network of these weights instead of a search: best.safetensors of a model, or what export wrote", before=None)
    mode: str = flag("finetune", f"how it is trained on: {_or(list(MODES.values()))}", before="finetune")
    backbone_rate: float = flag(0.1, "of --mode finetune: learning rate of all but the head, as a share of --lr", before=0.1)
    train_norm: bool = flag(False, "of --mode finetune: train batch normalisation, too, which otherwise stays as it is, statistics included", before=False)
    keep_head: bool = flag(False, "keep the head, for images of the same classes", before=False)


@dataclass(frozen=True)
class ResourceFlags:
    """Where networks are trained."""

    devices: str = flag("auto", "auto, cpu, or GPUs such as cuda:0,cuda:1", search=False)
    workers: int | None = flag(None, "worker processes [default: one per GPU, or per CPU core]", search=False)
    workers_per_device: str | None = flag(None, "worker processes on each device: a number, or auto, by a probe of each GPU; instead of --workers", search=False, before=None)
    timeout: float | None = flag(None, "seconds after which a training (racing: a stretch of it) is killed [default: none]", search=False)
    executor: str = flag("local", f"where networks are trained: {_or(_PLACES)}", search=False, before="local")
    scheduler: str | None = flag(None, "of --executor dask: address of the Dask scheduler, tcp://HOST:PORT", search=False, before=None)
    wait: float = flag(60.0, "of --executor dask: seconds to wait for Dask workers when there are none", search=False, before=60.0)


@dataclass(frozen=True)
class RunFlags:
    """What the search leaves on the disk."""

    run: str | None = flag(None, "folder of the run [default: runs/DATASET-N]", search=False)
    keep: str = flag("all", "whose weights to keep: all, best, or pareto (of nsga2: those of the front); records are always kept", search=False)
    keep_epochs: int = flag(0, "keep the weights of every Nth epoch of each training, and those that it begins with, for `studies landscape`; without a number those of every epoch, 0 none", search=False, before=0, bare=1)
# fmt: on


@dataclass(frozen=True)
class Flags:
    """All of them, by group."""

    space: SpaceFlags = SpaceFlags()
    evolution: EvolutionFlags = EvolutionFlags()
    mlp: MlpFlags = MlpFlags()
    evaluation: EvaluationFlags = EvaluationFlags()
    beginning: BeginningFlags = BeginningFlags()
    resources: ResourceFlags = ResourceFlags()
    run: RunFlags = RunFlags()

    @property
    def values(self) -> dict[str, Any]:
        """Every flag's value by its name, in their order: the form of `config.json`."""
        return {name: value for group in GROUPS for name, value in vars(getattr(self, group)).items()}


class Flag(NamedTuple):
    """What is declared of a flag."""

    group: str
    name: str
    type: type  #: of what its user gives
    default: Any
    help: str
    search: bool
    before: Any
    bare: Any

    @property
    def spelled(self) -> str:
        """How the command line spells it."""
        return spelled(self.name)


def spelled(name: str) -> str:
    """Return the flag `name` as the command line spells it: `--num-min-depth`."""
    return f"--{name.replace('_', '-')}"


def words_of(values: Mapping[str, object]) -> list[str]:
    """Return flags by their names as the words of a command line; None stands for one that is not given."""
    found = list[str]()
    for name, value in values.items():
        if isinstance(value, bool):
            found.append(spelled(name) if value else f"--no-{spelled(name).removeprefix('--')}")
        elif value is not None:
            found.append(f"{spelled(name)}={value}")
    return found


def grouped(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values`, one of each flag, as the groups of `Flags`."""
    return {
        group: section(**{field.name: values[field.name] for field in dataclasses.fields(section)})
        for group, section in GROUPS.items()
    }


def _given_type(annotation: Any) -> type:
    """Return the type of what a flag is given: None and words of our own, such as `usual`, stand for no number."""
    (found,) = {bool, int, float, str} & {annotation, *get_args(annotation)}
    return found


GROUPS: dict[str, Any] = get_type_hints(Flags)
FLAGS = {
    field.name: Flag(group, field.name, _given_type(field.type), field.default, **field.metadata)
    for group, section in GROUPS.items()
    for field in dataclasses.fields(section)
}
#: Flags that `python -m populations finetune` takes, too, and what they are when they are not given.
OF_FINETUNE = {
    **{"dataset": "", "data_dir": "data", "download": "no", "image_size": "that of the network's images"},
    **{
        "preprocess": "as the network's images were",
        "train_size": "all",
        "val_size": "auto",
        "mode": "finetune",
        "backbone_rate": "0.1",
        "train_norm": "no",
    },
    **{"keep_head": "no", "recipe": "finetune", "epochs": "the recipe's", "batch_size": "the recipe's"},
    **{"lr": "the recipe's", "weight_decay": "the recipe's", "patience": "the recipe's", "augment": "the recipe's"},
    **{"seed": "0", "run": "runs/DATASET-N", "devices": "auto", "workers": "1", "timeout": "none"},
    **{"executor": "local", "scheduler": "", "keep_epochs": "0"},
}
#: What a run meant that was recorded before a flag was there.
BEFORE = {name: known.before for name, known in FLAGS.items() if known.before is not ...}
