"""A run, read.

frame    run -> pandas: `load(RUN)`
columns  what its columns mean
compare  groups of its models side by side
explain  a model node by node, beside its parent
ledger   where the slots' time went
replay   score or train a recorded model again
"""
