"""Memory: what a training will take, what it took, what is free.

footprint       memory that a training will take
chunks          in how many parts a batch has to go through a network for that to fit
ledger          what tensors hold, counted
peak            memory that it took
heap            freed memory, kept and given back
room            memory that is free
control_groups  what containers, SLURM, systemd leave a process
"""
