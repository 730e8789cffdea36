"""Memory: what a training will take, what it took, what is free.

footprint       memory that a training will take
peak            memory that it took
heap            freed memory, kept and given back
room            memory that is free
control_groups  what containers, SLURM, systemd leave a process
"""
