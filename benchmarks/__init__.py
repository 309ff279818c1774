"""Measurements that anyone can repeat: `python -m benchmarks.NAME` prints one table with its provenance and keeps it in results/.

inference.py   the forward pass of dense, compact, masked, sparse and quantised networks against a roofline
pipeline.py    where the wall time of `dvc repro` goes
removal.py     the time of a physical removal against the size of the network

Contenders take turns in the same run, so that whatever else the machine does falls on all of them; only ratios travel."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded; see stages/__init__.py
