"""A table and a network for it, as data.name and model.name take them: examples.table:load and examples.table:network.

The table: 30 measures of the cell nuclei in 569 biopsies, malignant or benign, which scikit-learn brings along."""

from typing import TypeAlias

import pandas as pd
from sklearn.datasets import load_breast_cancer
from torch import Tensor, nn

Part: TypeAlias = tuple[pd.DataFrame, pd.Series]  # one example a row, and its class: 0, 1, ...
TEST_ROWS = 169


def load() -> tuple[Part, Part]:
    """Rows to train and to test on. The pipeline scales the columns, and holds out the validation set."""
    table = load_breast_cancer(as_frame=True).frame.sample(frac=1, random_state=0)  # yours: pd.read_csv("mine.csv")
    labels = table.pop("target")
    return (table[TEST_ROWS:], labels[TEST_ROWS:]), (table[:TEST_ROWS], labels[:TEST_ROWS])


class Block(nn.Module):
    """Two layers beside a skip.  (N, units) -> the same"""

    def __init__(self, units: int):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(units, units, bias=False), nn.BatchNorm1d(units), nn.ReLU(),
                                   nn.Linear(units, units, bias=False), nn.BatchNorm1d(units))

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.inner(x)).relu()


def network(input_shape: tuple[int], n_classes: int) -> nn.Module:
    """(N, F) -> (N, classes)"""
    features, units = input_shape[0], 128
    return nn.Sequential(nn.Linear(features, units, bias=False), nn.BatchNorm1d(units), nn.ReLU(), Block(units), Block(units),
                         nn.Linear(units, n_classes))
