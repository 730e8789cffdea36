"""What a user sees and types.

screen    what a search shows
progress  how far one training is
programs  what to type to search, and to look into runs
tables    a table on standard output: text, CSV, JSON
spoken    durations and sizes as one says them
"""
