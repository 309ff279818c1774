"""A stage that torchrun has started in several processes: they meet before it, and end together, with one line for an error.

    torchrun --standalone --nproc-per-node 4 -m stages.train_bayesian
    python -m stages.run --processes 4"""

import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

SEVERAL = ("train_baseline", "train_bayesian", "prune", "controls")  # the stages that several processes can run together
LOST = ("error: this training was stopped, or one of its processes was lost; give the same command again, and it goes on from its last "
        "epoch")
MARKS_OF_A_LOST_PEER = ("gloo", "NCCL", "Connection closed", "Connection reset", "Broken pipe")  # in errors of torch that have no type


def together(main: Callable[[Any], None]) -> Callable[[Any], None]:
    """`main`, which runs a stage, in a group of processes if torchrun has started it; all wait until process 0, which writes, is done."""
    @wraps(main)
    def joined(stage: Callable[..., None]) -> None:
        if "TORCHELASTIC_RUN_ID" not in os.environ:
            main(stage)
            return
        store, rank, count = next(rendezvous("env://"))
        try:
            _join(store, rank, count, stage.__name__)
            main(stage)
            dist.barrier()
        except SystemExit as end:
            _end(store, end.code)
        except RuntimeError as error:
            if not isinstance(error, dist.DistError) and not any(mark in str(error) for mark in MARKS_OF_A_LOST_PEER):
                raise
            _end(store, LOST)
        dist.destroy_process_group()
    return joined


def _join(store: Store, rank: int, count: int, stage: str) -> None:
    if stage not in SEVERAL and count > 1:
        sys.exit(f"error: {stage} is for one process, not for {count}; run python -m stages.{stage}")
    signal.signal(signal.SIGTERM, _leave)  # from torchrun, when another process has ended
    on_gpu, local = torch.cuda.is_available(), int(os.environ["LOCAL_RANK"])
    if on_gpu:
        if local >= torch.cuda.device_count():
            sys.exit(f"error: there are more processes here than GPUs, {torch.cuda.device_count()}; lower --nproc-per-node")
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if on_gpu else "gloo", store=store, rank=rank, world_size=count)


def _leave(*_: object) -> None:
    if sys.exc_info()[0] is None:  # else an error has come before, and the state of the training is perhaps being written
        sys.exit(LOST)


def _end(store: Store, code: int | str | None) -> NoReturn:
    """Exits, with the line `code` on stderr if no other process has said one: what follows from the first error says nothing more."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as soon as one has ended torchrun ends all others, and the line would be lost
    if not isinstance(code, str):
        sys.exit(code)
    key = f"said/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"
    try:
        if store.add(key, 1) == 1:
            print(code, file=sys.stderr, flush=True)
            store.set(f"{key}/all", "")
        else:
            store.wait([f"{key}/all"], timedelta(seconds=5))
    except RuntimeError:  # the store has gone with torchrun itself
        print(code, file=sys.stderr, flush=True)
    sys.exit(1)
