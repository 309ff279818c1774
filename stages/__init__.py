"""One module per DVC stage: read params.yaml, call the library, write artifacts. `python -m stages.NAME` runs one.

run.py runs them in order where there is no DVC, with pipeline.py, which reads dvc.yaml, and compose.py, which reads conf/.
kept.py and mend.py keep what an interruption or a failure would lose.
cluster.py runs experiments on many machines: grid.py names them, trial.py is what each machine gets."""

import os
import signal
import sys


def started() -> None:
    """From here on, an interruption is a KeyboardInterrupt."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(*_: object) -> None:
    os._exit(130)


# `python -m stages.NAME` imports for a second or more, and an interruption in an import is a traceback, or is swallowed by code that
# tries whether something can be imported.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _leave)

# OpenMP reads these once, as torch loads it. Threads that spin for long while they wait make small networks many times slower as
# soon as anything else wants the cores; threads that sleep at once wake too late for small layers. So: about ten microseconds.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # read by GNU's OpenMP alone, the one in torch's wheels for Linux
