"""The recovery that params.yaml asks for: of the small network, of the controls, and of the sweep with its own schedule."""

from torch import nn

from sparsify.compress.recovery import Recovery
from sparsify.data import Dataset
from sparsify.task import Task
from sparsify.training import StepSettings
from stages import networks
from stages.params import Params


def recovery_of(params: Params, dense: nn.Module, dataset: Dataset, train: StepSettings | None = None) -> Recovery:
    """dense: the teacher, unless params.yaml names another. train: in place of finetune.train"""
    task, train, teacher = Task(dataset.train, dataset.validation), train or params.finetune.train, networks.teacher(params, dense, dataset)
    return Recovery(task.train, task.learnt(train, teacher, params.finetune.distill, params.finetune.temperature),
                    lambda small: {"validation_accuracy": task.score(small)}, train, params.seed)
