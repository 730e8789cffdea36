"""Runs carried on into other tools, while they search or afterwards: the driver knows nothing of it.

follow       what is new in a run folder               tracker      what such a tool is told
tensorboard  event files                               mlflow       runs of a tracking server
"""
