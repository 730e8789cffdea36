"""Ask a population of networks a question, in pandas: `python examples/population.py runs/digits-1`."""

import math
import sys

import populations

run = populations.load(sys.argv[1])
trained = run.models.query("stage == 'search' and status == 'ok' and same_as.isna()")

print("Do deeper networks score higher? By depth, in five parts:")
part = trained["depth"].rank(method="first", pct=True).mul(5).map(math.ceil).rename("part")
parts = trained.groupby(part).agg(depth=("depth", "median"), best=("val_accuracy", "max"), models=("id", "size"))
print(parts.to_string())

print("\nWhat correlates with accuracy? Of ranks:")
print(trained[["depth", "params", "flops", "seconds", "val_accuracy"]].corr("spearman")["val_accuracy"].to_string())

print("\nWhich networks does no other beat in accuracy and in size?")
ordered = trained.sort_values(["params", "val_accuracy"], ascending=[True, False])
front = ordered[ordered["val_accuracy"] > ordered["val_accuracy"].cummax().shift(fill_value=-1)]
print(front[["id", "depth", "params", "val_accuracy"]].to_string(index=False))
