"""Figures of runs as tables: each module has `table(runs) -> DataFrame`, which a page or a paper draws. No torch.

progress   best, median and every network, over networks and over slot-seconds
sizes      accuracy against depth, convolutions, parameters and FLOPs, and which networks are the Pareto front
blocks     which kinds of block stand where in the depth, in winners and in the rest
lineage    who was bred from whom, what was changed, and what that gained
curves     learning curves
statuses   how the jobs ended
failures   why jobs failed
times      where the slots' time went

`runs` are open runs by the name that tells them apart, see `chosen.named`; each table has it as its column `run`.
"""
