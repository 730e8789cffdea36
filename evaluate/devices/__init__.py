"""What a process computes on, and in which precision.

numerics   precision and memory format
place      what this process computes on
placement  how many workers go on each device
probe      short measurements of a device
"""
