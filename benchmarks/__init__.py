"""Measurements that anyone can repeat: `python -m benchmarks.NAME` prints one table with its provenance and keeps it in results/.

training.py    a Bayesian training step beside a dense one, and beside other implementations
scaling.py     its time and memory against width and batch
schedule.py    which batch size, precision and length of training reach a target soonest
inference.py   the forward pass of dense, compact, masked, sparse and quantised networks against a roofline
pieces.py      what odd pieces of code bring to the wall time of a recipe
removal.py     the time of a physical removal against the size of the network; on which networks it is right
pipeline.py    where the wall time of `dvc repro` goes
memory.py      how much memory a training step takes
outputs.py     how far the outputs of two runs are apart
faults/        what kills, full disks and bad input leave behind

Contenders take turns in the same run, so that whatever else the machine does falls on all of them; only ratios travel."""

import stages  # noqa: F401  how threads wait, before torch is loaded
