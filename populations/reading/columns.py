"""What each column of the models table means, and its unit. No torch."""

#: In the order of the table; `test_accuracy` is there once a test was asked for.
COLUMNS = {
    "id": "name of the model, and of its folder in `models/`: 12 hexadecimal digits that its job and graph decide",
    "stage": "what its job was for: `search`, `final` (the final ranking of `--inherit`), `polish` (of `replay --recipe`), or a command, as `confirm`",
    "job": "number of the job, from 0 within its stage",
    "generation": "generation that it was bred for, from 0",
    "parent": "id of the parent; empty for a random draw",
    "status": "`ok`; `pruned`: ended by racing, its scores are those until then; `failed`: it raised an error; "
    "`diverged`: its loss was no number; `oom`: out of memory; `timeout`: beyond `--timeout`; `lost`: its worker "
    "vanished twice; `open`: no result yet",
    "function_set": "`--function-set` of the run, or its `--family`",
    "depth": "active nodes",
    "conv_layers": "convolutions on the longest path",
    "params": "trainable parameters",
    "flops": "floating-point operations of a forward pass of one image, two per multiply-add",
    "receptive_field": "side of the part of the image that an output sees, in pixels",
    "val_accuracy": "share of the validation images classified rightly, 0..1, in the best epoch",
    "val_loss": "cross-entropy on the validation images in that epoch, in nats",
    "epochs": "epochs trained",
    "seconds": "time of training and validation, in seconds",
    "peak_memory_mb": "most memory while it was trained, in MB of 2^20 bytes: of the GPU, or of the worker on a CPU",
    "seed": "seed of its training, which the run's seed and the job number decide",
    "same_as": "id of the model with the same graph whose result it took over; empty for one that was trained",
    "scratch_share": "share of the parameters that did not begin as its parent's, 0..1; empty without `--inherit`",
    "train_accuracy": "share of the training images classified rightly, 0..1, while that epoch trained",
    "run": "name of the run folder",
    "dataset": "`--dataset` of the run",
    "test_accuracy": "share of the test images classified rightly, 0..1; empty unless `replay --test` asked for it",
}
