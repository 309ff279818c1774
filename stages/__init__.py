"""One module per DVC stage: read params.yaml, call the library, write artifacts. `python -m stages.NAME` runs one."""

import os

# OpenMP reads this once, as torch loads it. Threads that spin while they wait make small networks many times slower as soon
# as anything else wants the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
