"""The command `draw`: a model as a picture, with its silent nodes where they are asked for. No torch."""

import argparse
from collections.abc import Callable, Mapping

from cgp.drawing.arrange import layout_of, layout_of_genome
from cgp.drawing.dot import dot
from cgp.drawing.layout import Layout
from cgp.drawing.png import png
from cgp.drawing.svg import svg
from cgp.errors import BadInput
from cgp.genome import Genome
from cgp.graph import Graph
from cgp.space import Space
from evaluate.files import write_atomically
from populations.commands.output import checked_kind
from populations.reading.frame import Run, load
from populations.setup.config import Config

FORMATS: Mapping[str, Callable[[Layout], bytes]] = {
    ".svg": lambda layout: svg(layout).encode(),
    ".png": png,
    ".dot": lambda layout: dot(layout).encode(),
}


def draw_model(arguments: argparse.Namespace) -> int:
    """Draw a model into a file, and say where that is."""
    render = FORMATS[checked_kind(arguments.out, arguments.force, FORMATS)]
    run = load(arguments.run)
    identity = run.identity(arguments.model)
    layout = _layout(run, identity, arguments.genome)
    write_atomically(arguments.out, render(layout), durable=False)
    print(arguments.out)
    return 0


def _layout(run: Run, identity: str, whole: bool) -> Layout:
    """Return the layout of a model, or of its `whole` genome."""
    model = run.model(identity).model
    if not isinstance(model, Graph):
        raise BadInput(f"model {identity}: is no graph, but of kind {type(model).__name__}; a graph can be drawn")
    title = f"{run.folder.absolute().name} · {identity}"
    return layout_of_genome(*_genome(run, identity, model), title) if whole else layout_of(model, title)


def _genome(run: Run, identity: str, graph: Graph) -> tuple[Genome, Space]:
    recorded = run.genome(identity)
    if recorded is None:
        raise BadInput(f"--genome: model {identity} was made by hand and has no genome; leave --genome out")
    try:
        space = Config.of(run.config, run.folder).space_for(graph.image, graph.classes)
        return Genome.from_json(recorded, space), space
    except BadInput as error:
        raise BadInput(f"--genome: model {identity} is not of the run's space: {error}") from error
