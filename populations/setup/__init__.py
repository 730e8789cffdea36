"""From flags to a search that is ready to run.

config       flags, TOML file -> Config              <- a new flag goes here
executors    the executors, by name
checks       what is wrong with them
recorded     what the flags of an older run meant
start        what comes before a search: a line, the workers' server, slow imports
composition  Config -> strategy, images, the run opened
workplace    where the jobs of a search run
forecast     what a search will cost
"""
