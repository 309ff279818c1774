"""What a tool does with a network, in a process of its own with a time limit: a crash, or memory without end, is an answer too."""

import multiprocessing
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.connection import Connection
from os import devnull
from typing import Any

Found = dict[str, Any]  # with a "verdict"


def answer(tool: Callable[[str], Found], name: str, limit: float) -> Found:
    """tool(name), or a verdict that says how it failed.  limit: seconds"""
    here, there = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_answer, args=(tool, name, there))
    child.start()
    there.close()
    try:
        found = here.recv() if here.poll(limit) else {"verdict": f"no answer in {limit:g} s"}
    except EOFError:
        found = {"verdict": "crashes: the process died"}
    child.kill()
    child.join()
    return found


def _answer(tool: Callable[[str], Found], name: str, there: Connection) -> None:
    warnings.simplefilter("ignore")
    with open(devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        try:
            found = tool(name)
        except Exception as error:  # whatever a tool raises is its answer
            found = {"verdict": f"crashes: {type(error).__name__}: {' '.join(str(error).split())}"[:110]}
    there.send(found)
