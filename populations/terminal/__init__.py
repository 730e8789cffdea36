"""What a user sees and types.

screen    what a search shows
progress  how far one training is
programs  what to type to search, and to look into runs
spoken    durations and sizes as one says them
"""
