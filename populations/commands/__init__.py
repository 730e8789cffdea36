"""What is asked of a run afterwards: the commands of `python -m populations`.

look     tables of runs: list, show, best, lineage
compare  groups of models side by side
explain  a model node by node, beside its parent
tracked  a run followed, as tensorboard and mlflow do
confirm  winners trained again on fresh seeds
polish   a model trained once more, on training and validation images, and tested
measure  a measure of trained models
finetune a trained network trained on, on other images, as a run of its own
predict  what a model says of image files
replay   score or train a model again, and say what came of it
"""
