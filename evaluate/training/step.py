"""One step of training: forward, loss, backward, update. On a GPU it can be captured as one CUDA graph."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cgp.errors import BadInput
from cgp.residual_network import ResidualNetwork
from evaluate.devices.numerics import Numerics
from evaluate.job import Recipe
from evaluate.training.criterion import Criterion, CrossEntropy
from evaluate.training.sparing import Sparing

WARM_UP = 3  # steps before the capture, in which libraries settle their memory and the optimizer its state


class Step:
    """Trains `network` on one batch a call; adds up loss and hits on the device, which nothing waits for."""

    def __init__(self, network: nn.Module, optimizer: Optimizer, recipe: Recipe, numerics: Numerics) -> None:
        """Use the network and its optimizer, both on the device of `numerics`."""
        self.network, self.optimizer, self.recipe, self.numerics = network, optimizer, recipe, numerics
        self.chunk: int | None = None  #: images that go through the network at once; None: the whole batch
        self._sparing = Sparing(network, recipe.ghosts, recipe.checkpoint_activations)
        self.criterion: Criterion = CrossEntropy(recipe.label_smoothing)  #: another one for values instead of labels
        self._loss = torch.zeros((), device=numerics.device)
        self._correct = torch.zeros((), dtype=torch.int64, device=numerics.device)
        self._slopes: Tensor | None = None  # what the squares of the loss's slopes add up to, where that is recorded
        if isinstance(network, ResidualNetwork):
            self._slopes = torch.zeros((), dtype=torch.float64, device=numerics.device)
        self._scaler = numerics.scaler()
        if self._scaler.is_enabled():
            _begin_momentum(optimizer)

    def begin(self) -> None:
        """Begin an epoch: forget the sums, and the scale of the loss, so that a resumed training ends the same."""
        self._loss.zero_()
        self._correct.zero_()
        if self._slopes is not None:
            self._slopes.zero_()
        self._scaler = self.numerics.scaler()

    def __call__(self, x: Tensor, y: Tensor) -> None:
        """Learn from images `x` (batch, channels, height, width) and labels or values `y`."""
        self.optimizer.zero_grad()  # first: gradients of the last step would lie beside all maps of this one
        with self._sparing:
            size = self.chunk or len(x)
            for images, labels in zip(x.split(size), y.split(size), strict=True):
                self._pass(images, labels, len(labels) / len(y))
        self._sparing.settle()
        self._scaler.step(self.optimizer)
        self._scaler.update()

    def _pass(self, x: Tensor, y: Tensor, share: float) -> None:
        """Go there and back with a part of the batch, that `share` of it."""
        with self.numerics.autocast():
            logits = self.network(x)
        loss = self.criterion.loss(logits.float(), y) * share
        self._scaler.scale(loss).backward()
        self._loss += loss.detach()
        if self.criterion.classifies:
            self._correct += (logits.detach().argmax(1) == y).sum()
        if self._slopes is not None:
            self._slopes += self.criterion.slopes(logits.detach().float(), y).double().square().sum()

    def sums(self) -> tuple[float, int]:
        """Return the losses of the epoch's steps, summed, and how many images were right; waits for the device.

        Of a regression none is right.
        """
        return float(self._loss), int(self._correct)

    def slopes(self, images: int) -> dict[str, float]:
        """Return `omega` of a residual MLP in an epoch of so many images, of another network nothing.

        That is the mean, over the images, of the squared norm of the gradient of an image's loss by its outputs.
        """
        return {} if self._slopes is None else {"omega": float(self._slopes) / images}


def _begin_momentum(optimizer: Optimizer) -> None:
    """Let momentum begin at 0: fused SGD takes memory as it finds it where its first step overflows."""
    for group in optimizer.param_groups:
        if group.get("momentum"):
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


class Graphs(Protocol):
    """How a device captures work, so that it can be repeated without Python."""

    def warm_up(self, work: Callable[[], None]) -> None:
        """Do `work` as it will be captured later."""

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return what does `work` again, on the same memory; the capture itself does nothing."""


class CudaGraphs:
    """CUDA graphs, as PyTorch's notes on CUDA semantics want them: warmed up and captured off the default stream."""

    def warm_up(self, work: Callable[[], None]) -> None:
        """Do `work` on a stream of its own, in order with what comes before and after."""
        stream = _side_stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            work()
        torch.cuda.current_stream().wait_stream(stream)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return the replay of a graph of `work`, which keeps the memory it uses."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=_side_stream()):
            work()
        return graph.replay


@cache
def _side_stream() -> torch.cuda.Stream:
    """Return the one stream of this process for graphs: libraries keep workspaces for each stream they meet."""
    return torch.cuda.Stream()


class CapturedStep(Step):
    """A step whose kernels a GPU starts as one graph, instead of one by one from Python.

    A graph reads and writes fixed memory and holds numbers as they were at its capture: batches are
    copied to where it reads them, and the learning rates lie on the device. The weights it leads to may
    differ in the last bits from those of `Step`.
    """

    def __init__(
        self, network: nn.Module, optimizer: Optimizer, recipe: Recipe, numerics: Numerics, graphs: Graphs
    ) -> None:
        """`graphs` is how the device captures work."""
        super().__init__(network, optimizer, recipe, numerics)
        self._graphs, self._warm_ups = graphs, 0
        self._batch: tuple[Tensor, Tensor] | None = None
        self._rates = [torch.zeros((), device=numerics.device) for _ in optimizer.param_groups]
        self._replay: Callable[[], None] | None = None

    def __call__(self, x: Tensor, y: Tensor) -> None:
        """Learn from a batch; all must have one shape."""
        if self._batch is None:
            self._batch = torch.empty_like(x), torch.empty_like(y)
        for fixed, given in zip(self._batch, (x, y), strict=True):
            fixed.copy_(given)
        for rate, group in zip(self._rates, self.optimizer.param_groups, strict=True):
            rate.fill_(group["lr"])
        if self._warm_ups < WARM_UP:
            self._warm_ups += 1
            self._graphs.warm_up(partial(self._step, *self._batch))
            return
        if self._replay is None:
            self._replay = self._graphs.capture(partial(self._step, *self._batch, capturable=True))
        self._replay()

    def _step(self, x: Tensor, y: Tensor, **options: bool) -> None:
        """Step at the rates on the device; the optimizer's own, which checkpoints hold, stay numbers."""
        groups = self.optimizer.param_groups
        before = [dict(group) for group in groups]
        for rate, group in zip(self._rates, groups, strict=True):
            group |= {"lr": rate} | {name: value for name, value in options.items() if name in group}
        super().__call__(x, y)
        for group, values in zip(groups, before, strict=True):
            group.update(values)


def refuse_graphs(recipe: Recipe, devices: Sequence[str]) -> None:
    """Raise BadInput where `recipe` asks for CUDA graphs and one of `devices` is no GPU."""
    if recipe.cuda_graphs and "cpu" in devices:
        raise BadInput("--cuda-graphs: needs GPUs, and --devices has cpu; leave one of them out")


def make_step(network: nn.Module, optimizer: Optimizer, recipe: Recipe, numerics: Numerics) -> Step:
    """Return the step of `recipe` on the device of `numerics`."""
    if recipe.cuda_graphs and numerics.device == "cuda":
        return CapturedStep(network, optimizer, recipe, numerics, CudaGraphs())
    return Step(network, optimizer, recipe, numerics)
