"""One call in a process of its own, forked from this one, with limits: how it ended, and what it took."""

import contextlib
import os
import resource
import select
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NamedTuple

SECONDS, BYTES = 60, 3 << 30  # that a call may take, and may take besides what this process has
OUTCOMES = ("one line", "accepted", "traceback", "several lines", "killed", "hang")


class Ending(NamedTuple):
    outcome: str  # one of OUTCOMES
    said: str
    peak_bytes: int  # resident, with all that this process had


def watched(call: Callable[[], None], seconds: float = SECONDS) -> Ending:
    """`call` is run as a stage's program is: SystemExit with a line is its answer to what it cannot use."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        _run(call, write)
    os.close(write)
    ready, _, _ = select.select([read], [], [], seconds)
    if not ready:
        os.kill(child, signal.SIGKILL)
    said = b""
    while ready and (piece := os.read(read, 1 << 16)):
        said += piece
    os.close(read)
    _, _, usage = os.wait4(child, 0)
    outcome, _, text = said.decode(errors="replace").partition(": ")
    return Ending(outcome if outcome in OUTCOMES else "killed" if ready else "hang", text, usage.ru_maxrss << 10)


def _run(call: Callable[[], None], write: int) -> None:
    """In the child, from which nothing returns."""
    said = "killed: "
    try:
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(quiet, stream)
        with open("/proc/self/statm") as file:
            own = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (own + BYTES, own + BYTES))
        with contextlib.redirect_stdout(open(os.devnull, "w")), contextlib.redirect_stderr(open(os.devnull, "w")):
            call()
        said = "accepted: "
    except SystemExit as end:
        line = str(end.code)
        single = isinstance(end.code, str) and line.startswith("error: ") and len(line.splitlines()) == 1 and line.isprintable()
        said = f"{'one line' if single else 'several lines'}: {line}"
    except BaseException:
        said = f"traceback: {traceback.format_exc()}"
    finally:
        os.write(write, said.encode(errors="replace")[-60_000:])
        sys.stdout = sys.stderr = None  # type: ignore[assignment]
        os._exit(0)
