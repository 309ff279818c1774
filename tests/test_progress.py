"""What a person sees of a training while it runs: in a terminal of 80 columns, and nothing in a pipe."""

import fcntl
import os
import re
import select
import struct
import sys
import termios

import torch
from torch import nn

from sparsify.data import Split
from sparsify.losses import cross_entropy
from sparsify.training import fit


def train(settings, label):
    model, data = nn.Linear(4, 2), Split(torch.randn(20, 4), torch.arange(20) % 2)
    fit(model, data, cross_entropy(model, settings), settings, lambda: {"validation_accuracy": 96.42, "left_percent": 12.34}, label)


def test_a_terminal_shows_the_time_to_go_the_accuracy_and_what_is_left(train_settings, monkeypatch):
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    with open(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        train(train_settings(epochs=3), "bayesian (log_uniform)")  # what a terminal holds unread
        held = b""
        while select.select([ours], [], [], 1)[0]:  # on a busy machine it comes in parts
            held += os.read(ours, 1 << 20)
        last = re.split(r"[\r\n]+", held.decode().rstrip())[-1]
    os.close(ours)
    assert re.fullmatch(r"bayesian \(log_uniform\) 3/3 \|\S{6}\| 00:00 to go, accuracy 96.42, left 12.*", last) and len(last) <= 80


def test_a_pipe_gets_nothing(train_settings, capfd):
    train(train_settings(epochs=3), "baseline")
    assert capfd.readouterr() == ("", "")
