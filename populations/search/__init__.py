"""The loop of a search.

loop         ask, train, tell
asking       other work through the same loop
schedule     which job runs next
racing       where trainings pause, and who goes on
rung_scores  by what that is decided
cost         what an epoch costs: forecast, then learned
outlook      how long a search still takes
observers    what hears of a search while it runs
stop         how its user, or a disk, stops a search
"""
