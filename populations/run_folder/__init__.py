"""What a run leaves on the disk.

store          the run folder: open, close, snapshot, resume
folder         config.json, environment.json of a run
journal        run.sqlite
connection     how it is opened and closed
schema         its tables, and how those of an older format become today's
deduplication  same graph, same result
retention      what is best, and whose weights stay
lock           who drives a run
"""
