"""In how many parts a batch goes through a network so that its training stays within `--memory-limit`.

Told from what is predicted of model and recipe, never from what is free at the moment: the same everywhere.
"""

from bisect import bisect_left

from cgp.model import Model
from evaluate.job import Recipe
from evaluate.memory.footprint import predicted_bytes


def chunk_of(model: Model, recipe: Recipe) -> int | None:
    """Return how many images go through `model` at once: of a batch the most that fit, as whole ghost groups.

    At most so many are scored at once, too. None means a whole batch, and as many as are scored without a limit.
    Raises MemoryError where not even a single group fits.
    """
    limit = recipe.memory_limit * 2**20
    if not limit or predicted_bytes(model, recipe) <= limit:
        return None
    groups = recipe.batch_size // recipe.group
    sizes = list(dict.fromkeys(-(-groups // chunks) * recipe.group for chunks in range(1, groups + 1)))
    place = bisect_left(sizes, True, key=lambda size: predicted_bytes(model, recipe, size) <= limit)
    if place < len(sizes):
        return sizes[place]
    said = f"predicted are {-(-predicted_bytes(model, recipe, recipe.group) // 2**20)} MB"
    more = "" if groups > 1 else "; --ghost-batch would let batches be split"
    raise MemoryError(f"--memory-limit: {recipe.memory_limit} MB; {said} with {recipe.group} images at once{more}")


def chunk_tried(model: Model, recipe: Recipe) -> int | None:
    """Return `chunk_of`, or a single group where that does not fit either: for a few steps that are timed."""
    try:
        return chunk_of(model, recipe)
    except MemoryError:
        return recipe.group
