"""From flags to a search that is ready to run.

flags        every flag, by group                    <- a new flag goes here
executors    the executors, by name
config       command line, TOML, Python or a run -> Config
checks       what is wrong with it
recorded     what an older run meant
start        what comes before a search: a line, the workers' server, slow imports
composition  Config -> strategy, images, the run opened
workplace    where the jobs of a search run
forecast     what a search will cost
"""
