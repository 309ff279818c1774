"""One module per DVC stage: read params.yaml, call the library, write artifacts. `python -m stages.NAME` runs one.

run.py runs them in order where there is no DVC, with pipeline.py, which reads dvc.yaml, and compose.py, which reads conf/.
cluster.py runs experiments on many machines: grid.py names them, trial.py is what each machine gets."""

import os

# OpenMP reads these once, as torch loads it. Threads that spin for long while they wait make small networks many times slower as
# soon as anything else wants the cores; threads that sleep at once wake too late for small layers. So: about ten microseconds.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # read by GNU's OpenMP alone, the one in torch's wheels for Linux
