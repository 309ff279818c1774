"""The recovery that params.yaml asks for: of the small network, of the controls, and of the sweep with its own schedule."""

from torch import nn

from sparsify.compress.recovery import Recovery
from sparsify.data import Dataset
from sparsify.task import Task
from sparsify.training import StepSettings
from stages.params import Params


def recovery_of(params: Params, dense: nn.Module, dataset: Dataset, train: StepSettings | None = None) -> Recovery:
    """dense: the teacher. train: in place of finetune.train"""
    task, train = Task(dataset.train, dataset.validation), train or params.finetune.train
    return Recovery(task.train, task.learnt(train, dense, params.finetune.distill, params.finetune.temperature),
                    lambda small: {"validation_accuracy": task.score(small)}, train, params.seed)
