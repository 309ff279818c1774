"""Found by every Python that runs with this folder in PYTHONPATH: notes where a stage of the pipeline spends its time.

Only `python -m stages.NAME` is watched. What happens inside is split by wrapping functions as their modules are loaded, and by
timing the import of a few packages; time inside an inner part does not count for the outer one. At the end one line of JSON goes
to the file that BENCHMARK_TRACE names."""

import atexit
import functools
import importlib.abc
import importlib.machinery
import json
import os
import sys
import time

START = time.perf_counter()
PARTS = {  # module -> {function: the part that its time belongs to}
    "sparsify.data": {"load": "loading data"},
    "sparsify.data.named": {"fetch": "loading data"},
    "sparsify.training": {"fit": "training steps"},
    "sparsify.measure.accuracy": {"predict": "evaluation"},
    "sparsify.measure.latency": {"latencies_ms": "timing"},
    "sparsify.compress.threshold": {"scan": "threshold scan"},
    "sparsify.artifacts": dict.fromkeys(("write_tensors", "write_bytes", "read_tensors"), "reading and writing"),
    "stages.params": {"load": "params.yaml"},
}
PACKAGES = ("torch", "torch._dynamo", "torchvision", "numpy", "pandas", "matplotlib", "mlxtend")  # the rest of a package loads inside it
open_parts: list[list] = []  # [part, seconds of inner parts]
seconds: dict[str, float] = {}


def timed(part, function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        start = time.perf_counter()
        open_parts.append([part, 0.0])
        try:
            return function(*args, **kwargs)
        finally:
            spent = time.perf_counter() - start
            seconds[part] = seconds.get(part, 0.0) + spent - open_parts.pop()[1]
            if open_parts:
                open_parts[-1][1] += spent
    return wrapper


class Watcher(importlib.abc.MetaPathFinder):
    """Lets the ordinary finder find, and puts a timer around the loading and around the functions of PARTS."""

    def find_spec(self, name, path=None, target=None):
        if name not in PACKAGES and name not in PARTS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = spec.loader.exec_module
        if name in PACKAGES:
            spec.loader.exec_module = timed(f"import {name}", load)
        else:
            def exec_module(module):
                load(module)
                for function, part in PARTS[name].items():
                    setattr(module, function, timed(part, getattr(module, function)))
            spec.loader.exec_module = exec_module
        return spec


def finish():
    stage = sys.orig_argv[2].removeprefix("stages.")
    with open(os.environ["BENCHMARK_TRACE"], "a") as file:
        file.write(json.dumps({"stage": stage, "seconds": time.perf_counter() - START, "parts": seconds}) + "\n")


if "BENCHMARK_TRACE" in os.environ and sys.orig_argv[1:2] == ["-m"] and sys.orig_argv[2].startswith("stages."):
    sys.meta_path.insert(0, Watcher())
    atexit.register(finish)
