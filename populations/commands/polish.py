"""A recorded model trained once more, from scratch, on training and validation images together, and tested.

What `replay --recipe` does, as a job of the run's pool: it is recorded, goes on when it was stopped, and replays.
"""

from cgp.errors import BadInput
from evaluate.job import POLISH, Recipe, Train
from evaluate.training.trained import require_compiler
from populations.reading.frame import RecordedModel, Run, load
from populations.record import Candidate
from populations.search.asking import carry_out
from populations.setup.config import Config


def polish(run: Run, model: RecordedModel, recipe: Recipe, compiled: bool, flags: list[str]) -> RecordedModel | None:
    """Train `model` of `run` from scratch by `recipe` and return what came of it; None where the user stopped it.

    `flags` of `evolve.py` say where, and where the images are now. What this program has polished so is not trained
    again. `compiled` trains by torch.compile; weights and scores are the plain network's. Raises BadInput where there
    is no C++ compiler, and where the training does not end ok.
    """
    if compiled:
        require_compiler()
    task = Train(model.model, recipe, Config.of(run.config, run.folder).data(), polish=True, compiled=compiled)
    number = run.asked(POLISH).get((model.id, task.options_json), run.next_number(POLISH))
    generation = int(run.models.set_index("id")["generation"][model.id])
    candidate = Candidate(number, generation, model.key, None, model.model, stage=POLISH, task=task)
    if not carry_out(run.folder, flags, [candidate]):
        return None
    done = load(run.folder)
    models = done.models[done.models["stage"] == POLISH].set_index("job")
    polished = done.model(models["id"][number])
    if polished.result is None or polished.result.status != "ok":
        status, error = (polished.result.status, polished.result.error) if polished.result else ("open", None)
        raise BadInput(f"model {polished.id}: polishing {model.id} by {recipe.name} ended {status}: {error}")
    return polished
