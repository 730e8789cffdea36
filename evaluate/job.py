"""Recipe, DataSpec, Train, Measure, Job and Result: the plain values that cross processes. No torch."""

import json
import math
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cgp.errors import BadInput, did_you_mean
from cgp.model import Model
from evaluate.foreign import Foreign

#: What measures a network once it is trained: a measure of `evaluate.measures.MEASURES`, or a function of the user's.
Goal = str | Foreign

Status = Literal["ok", "failed", "diverged", "oom", "timeout", "lost", "pruned", "paused", "interrupted"]

OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("onecycle", "cosine", "sgdr", "step", "constant", "variation")
INITIALISATIONS = (
    "kaiming_normal",
    "kaiming_uniform",
    "xavier_normal",
    "xavier_uniform",
    "orthogonal",
    "dirac",
    "fan_in",
    "depth_scaled",
    "default",
)
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
RECORDED = ("activations",)  #: what can be recorded of a training beside its scores


class Preprocessing(NamedTuple):
    """What is made of pixels before a network sees them."""

    contrast: bool = False  #: each image normalised by its own mean and contrast, instead of all by their channels'
    whitened: bool = False


#: By the name that `--preprocess` gives; see `evaluate.data.preprocessing`.
PREPROCESSINGS = {
    "standard": Preprocessing(),
    "gcn": Preprocessing(contrast=True),
    "zca": Preprocessing(whitened=True),
    "gcn-zca": Preprocessing(contrast=True, whitened=True),
}

# Fields that earlier versions lacked; what they are by default is what those versions did.
_LATER_IN_RECIPE = (
    *("record", "ghost_batch", "memory_limit", "checkpoint_activations"),
    *("dropout", "init_beta", "abandon"),
)
_LATER_IN_DATA = ("val_size", "preprocess")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. Raises BadInput, naming the flag, for values out of range."""

    name: str
    epochs: int
    batch_size: int  #: 0: all images in one
    optimizer: str
    lr: float  #: the highest rate of the schedule; of `variation` that of the first epoch
    schedule: str
    weight_decay: float = 0.0
    momentum: float = 0.9  #: of sgd, Nesterov's
    label_smoothing: float = 0.0
    init: str = "kaiming_normal"
    patience: int = 0  #: epochs without a better validation accuracy before stopping; 0: never stop
    precision: str = "auto"
    augment: bool = True
    cuda_graphs: bool = False  #: on a GPU, start the kernels of a step as one graph
    record: str = ""  #: one of `RECORDED`, or nothing; decides nothing of the training
    ghost_batch: int = 0  #: images that batch normalisation takes the statistics of; 0: the whole batch
    memory_limit: int = 0  #: MB of 2^20 bytes of a training, as predicted, within which batches are split; 0: none
    checkpoint_activations: bool = False  #: compute activations again on the way back instead of keeping them
    dropout: float = 0.0  #: share of what the last linear layer reads that is dropped in training
    init_beta: float = 0.5  #: of init `depth_scaled`: weights of L layers begin as L to the power of minus it
    abandon: int = 0  #: epochs after which a validation accuracy below twice chance ends it; 0: never

    def __post_init__(self) -> None:
        """Check every value."""
        for flag, value, known in (
            ("--optimizer", self.optimizer, OPTIMIZERS),
            ("--schedule", self.schedule, SCHEDULES),
            ("--init", self.init, INITIALISATIONS),
            ("--precision", self.precision, PRECISIONS),
            ("--record", self.record or RECORDED[0], RECORDED),
        ):
            if value not in known:
                raise BadInput(f"{flag}: unknown {value!r}{did_you_mean(value, known)}; one of {', '.join(known)}")
        for flag, number, lowest in (
            ("--epochs", self.epochs, 1),
            ("--batch-size", self.batch_size or 2, 2),
            ("--patience", self.patience, 0),
            ("--abandon", self.abandon, 0),
            ("--init-beta", self.init_beta, 0),
            ("--weight-decay", self.weight_decay, 0),
            ("--ghost-batch", self.ghost_batch, 0),
            ("--memory-limit", self.memory_limit, 0),
        ):
            if not lowest <= number < math.inf:
                raise BadInput(f"{flag}: {number}; expected at least {lowest}")
        if not 0 < self.lr < math.inf:
            raise BadInput(f"--lr: {self.lr}; expected a number above 0")
        if not 0 <= self.label_smoothing < 1:
            raise BadInput(f"--label-smoothing: {self.label_smoothing}; expected 0 <= value < 1")
        if not 0 <= self.dropout < 1:
            raise BadInput(f"--dropout: {self.dropout}; expected 0 <= value < 1")
        if self.cuda_graphs and self.precision == "fp16":
            raise BadInput(
                "--cuda-graphs: not with precision fp16, whose scaling asks for numbers; expected bf16 or fp32"
            )
        if not 0 <= self.momentum < 1:
            raise BadInput(f"--momentum: {self.momentum}; expected 0 <= value < 1")
        if self.memory_limit and not self.batch_size:
            raise BadInput(
                f"--memory-limit: {self.memory_limit} MB with --batch-size 0, all images; expected a number of images"
            )
        if self.ghost_batch == 1 or (self.group and self.batch_size % self.group):  # a single value has no deviation
            even = [str(size) for size in range(2, self.batch_size + 1) if not self.batch_size % size]
            said = f"--ghost-batch: {self.ghost_batch} images; expected groups of equal size of at least 2"
            which = f", so of --batch-size {self.batch_size} one of {', '.join(even)}" if even else ""
            raise BadInput(said + which)

    @property
    def group(self) -> int:
        """How many images batch normalisation takes the statistics of; 0: of all."""
        return self.ghost_batch or self.batch_size

    @property
    def ghosts(self) -> int | None:
        """How many images a ghost group has; None where a batch is one."""
        return self.ghost_batch if self.ghost_batch not in (0, self.batch_size) else None

    def batch(self, images: int) -> int:
        """Return how many of `images` a step takes; of fewer than a batch, as many whole groups as there are."""
        if images < self.group or not self.group:
            return images
        return min(self.batch_size or images, images // self.group * self.group)

    def fitted(self, images: int) -> "Recipe":
        """Return it with the batch that it takes of so many images, and no ghost groups larger than that."""
        batch = self.batch(images)
        return replace(self, batch_size=batch, ghost_batch=self.ghost_batch if self.ghost_batch <= batch else 0)

    def about(self) -> dict[str, Any]:
        """Return a JSON-able value, the same that earlier versions gave an equal recipe."""
        return _about(self, _LATER_IN_RECIPE)


#: `fast` is for fitness; `peer` is Suganuma et al. 2017 as their PyTorch port ran it; `retrain` polishes; `finetune`
#: is for networks that are trained already; `limit` is gradient descent, for residual MLPs; `features` is Mundt et
#: al. 2018, but for Nesterov's momentum.
RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("fast", 4, 32, "sgd", 0.03, "onecycle", label_smoothing=0.1, init="dirac", augment=False),
        Recipe("peer", 50, 128, "adam", 0.01, "step", precision="fp32"),
        Recipe("retrain", 200, 128, "sgd", 0.1, "onecycle", weight_decay=5e-4, label_smoothing=0.1),
        Recipe(
            "limit", 100, 0, "sgd", 9.0, "variation", momentum=0.0, init="default", precision="fp32", augment=False
        ),
        Recipe("features", 150, 128, "sgd", 0.01, "sgdr", weight_decay=5e-4, dropout=0.5, abandon=10),
        Recipe("finetune", 20, 32, "sgd", 0.03, "cosine", label_smoothing=0.1, init="dirac", patience=8),
    )
}


def recipe(name: str, **changes: Any) -> Recipe:
    """Return the named recipe with `changes` to its fields. Raises BadInput for an unknown name."""
    if name not in RECIPES:
        raise BadInput(f"--recipe: unknown {name!r}{did_you_mean(name, RECIPES)}; one of {', '.join(RECIPES)}")
    return replace(RECIPES[name], **changes)


@dataclass(frozen=True)
class DataSpec:
    """Which images: a dataset by name, where its files lie, and how much of it to use."""

    name: str  #: `digits`, `cifar10`, ..., or `folder:PATH`
    data_dir: str = "data"
    train_size: int | None = None  #: stratified subset of the training images
    image_size: int | None = None  #: side in pixels to which `folder:` images are cropped and scaled
    #: stratified subset of the validation images; `auto`: as large a share as `train_size` is, None: all
    val_size: int | Literal["auto"] | None = None
    preprocess: str = "standard"  #: of `PREPROCESSINGS`

    def __post_init__(self) -> None:
        """Raise BadInput for an unknown preprocessing."""
        if self.preprocess not in PREPROCESSINGS:
            guess = did_you_mean(self.preprocess, PREPROCESSINGS)
            raise BadInput(f"--preprocess: unknown {self.preprocess!r}{guess}; one of {', '.join(PREPROCESSINGS)}")

    def about(self) -> dict[str, Any]:
        """Return a JSON-able value, the same that earlier versions gave for equal images."""
        return _about(self, _LATER_IN_DATA)


def _about(value: Recipe | DataSpec, later: Collection[str]) -> dict[str, Any]:
    """Return the fields of `value` without those of `later` that have their defaults."""
    usual = {field.name: field.default for field in fields(value)}
    return {name: own for name, own in asdict(value).items() if name not in later or own != usual[name]}


#: Stages; the others are named by the commands that send them.
SEARCH, FINAL, CONFIRMED, POLISH, IMPORTED = "search", "final", "confirmed", "polish", "import"


class Key(NamedTuple):
    """Which job of a run: numbers count from 0 within each stage."""

    stage: str
    number: int


@dataclass(frozen=True)
class Fresh:
    """Weights begin as the recipe initialises them."""


@dataclass(frozen=True)
class Inherit:
    """Unchanged nodes begin with the best weights of the model in the folder `parent`."""

    parent: str


@dataclass(frozen=True)
class Weights:
    """The network begins with the weights in a file; what is not its head, its backbone, may stay as it is."""

    file: str  #: safetensors, of a network with the same nodes
    frozen: Literal["nothing", "norm", "backbone"]  #: parameters, and statistics of batch normalisation, that stay
    new_head: bool  #: whether the head begins fresh
    backbone_rate: float  #: learning rate of the backbone, as a share of the recipe's

    def within(self, folder: Path) -> "Weights":
        """Return it with `file`, which is relative, in `folder`."""
        return replace(self, file=str((folder / self.file).absolute()))


Start = Fresh | Inherit | Weights


@dataclass(frozen=True)
class Train:
    """Train a network on the training images and score it, each epoch, on the validation images."""

    model: Model
    recipe: Recipe
    data: DataSpec
    start: Start = Fresh()  #: where its weights begin
    polish: bool = False  #: train on the validation images, too, and score the test images, once, at the end
    compiled: bool = False  #: by torch.compile; weights and scores are the plain network's
    goals: tuple[Goal, ...] = ()  #: what measures the network of its best epoch; decides nothing of its training

    def about(self) -> dict[str, Any]:
        """Return, as a JSON-able value, all of it that decides the outcome."""
        about: dict[str, Any] = {
            "graph": self.model.to_json(),
            "recipe": self.recipe.about(),
            "data": self.data.about(),
        }
        match self.start:
            case Inherit(parent):
                about["parent"] = Path(parent).name
            case Weights(file):
                about["start"] = asdict(self.start) | {"file": Path(file).name}
        return about | ({"polish": True} if self.polish else {})

    @property
    def options_json(self) -> str:
        """What it does otherwise than a training of its run, as one text, the same for equal options."""
        options = {"recipe": self.recipe.about(), "polish": self.polish, "compiled": self.compiled}
        return json.dumps(options, sort_keys=True)


@dataclass(frozen=True)
class Measure:
    """Measure a trained network: one of `evaluate.measures.MEASURES`."""

    measure: str
    model: Model
    source: str  #: model folder of the trained network
    data: DataSpec
    precision: str  #: as of a recipe
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def options_json(self) -> str:
        """The options as one text, the same for equal options."""
        return json.dumps(self.options, sort_keys=True)


Task = Train | Measure


@dataclass(frozen=True)
class Job:
    """What a worker is sent: kilobytes, JSON-able."""

    number: int  #: counted from 0 within its stage
    id: str
    task: Task
    seed: int
    folder: str  #: where checkpoints, curve and log go
    stop_file: str | None = None  #: when this file exists, stop after the epoch's checkpoint
    until: int | None = None  #: epoch after which to pause; None: train to the end
    fingerprint: str | None = None  #: of the images that the search began with; a worker refuses others
    stage: str = SEARCH
    keep_epochs: int = 0  #: of a training: the weights of every so many epochs stay; 0: of none

    @property
    def key(self) -> Key:
        """Which job of the run it is."""
        return Key(self.stage, self.number)

    @property
    def train(self) -> Train:
        """Its task, where it trains. Raises TypeError where it measures."""
        if not isinstance(self.task, Train):
            raise TypeError(f"job {self.number} of stage {self.stage} trains nothing: {self.task}")
        return self.task

    def about(self) -> dict[str, Any]:
        """Return, as a JSON-able value, what a checkpoint of its training says of it."""
        return {"stage": self.stage, "number": self.number, "id": self.id, "seed": self.seed} | self.train.about()

    @property
    def epochs(self) -> int:
        """How many epochs it takes at most; a measurement counts as one."""
        return self.task.recipe.epochs if isinstance(self.task, Train) else 1


@dataclass(frozen=True)
class Result:
    """What comes back. `ok` and `pruned`, which racing stopped early, have metrics and a curve.

    `paused`, at an epoch that the job asked for, and `interrupted` are never recorded: such a job is open.
    """

    status: Status
    metrics: dict[str, float] = field(default_factory=dict)  #: val_accuracy (fraction), val_loss, ...
    curve: list[dict[str, float]] = field(default_factory=list)  #: one row per epoch
    seconds: float | None = None  #: training and validation, over all attempts
    peak_memory_mb: float | None = None  #: of the worker (CPU) or of its device memory (GPU)
    error: str | None = None  #: type and message
    log: str | None = None  #: path of the traceback
    parent: str | None = None  #: id of the model whose weights were taken over
    scratch_share: float | None = None  #: share of the parameters that were not taken over
    measured: dict[str, float] = field(default_factory=dict)  #: by the goals of a training; a replay repeats none
    artifacts: list[str] = field(default_factory=list)  #: files that a measure wrote into the job's folder
    numerics: dict[str, Any] = field(default_factory=dict)  #: device, precision, threads, versions ..., in the end
    #: stretches of epochs, each `from`, `to` and its `numerics`: a resumed training may have several
    stretches: list[dict[str, Any]] = field(default_factory=list)

    @property
    def scores(self) -> dict[str, float]:
        """All metrics, and of a training the `train_accuracy` of the epoch that they are of, a fraction."""
        best = (row for row in self.curve if all(row.get(name) == value for name, value in self.metrics.items()))
        found = next(best, {}) if self.metrics else {}
        trained = {name: found[name] for name in ("train_accuracy",) if name in found}
        return self.metrics | trained | self.measured

    def to_json(self) -> dict[str, Any]:
        """Return a plain value that `from_json` reads."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Result":
        """Read what `to_json` made."""
        return cls(**{f.name: value[f.name] for f in fields(cls) if f.name in value})
