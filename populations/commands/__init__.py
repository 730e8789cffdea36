"""What is asked of a run afterwards: the commands of `python -m populations`.

look     tables of runs: list, show, best, lineage
confirm  winners trained again on fresh seeds
polish   a model trained once more, on training and validation images, and tested
measure  a measure of trained models
finetune a trained network trained on, on other images, as a run of its own
predict  what a model says of image files
replay   score or train a model again, and say what came of it
"""
