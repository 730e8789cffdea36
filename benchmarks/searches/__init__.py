"""Whether searches beat drawing at random: long measurements, recorded in parts.

population  python -m benchmarks.searches population: networks that searches are replayed on
replayed    python -m benchmarks.searches replayed: policies that pick from them, in minutes
foretold    python -m benchmarks.searches foretold: how well the surrogate foretells their scores
rungs       python -m benchmarks.searches rungs: by what a race of them is best judged
live        python -m benchmarks.searches live: whole searches with paired seeds
summary     python -m benchmarks.searches summary: what the live ones say
"""
