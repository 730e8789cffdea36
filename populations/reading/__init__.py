"""A run, read.

frame    run -> pandas: `load(RUN)`
columns  what its columns mean
ledger   where the slots' time went
replay   score or train a recorded model again
"""
