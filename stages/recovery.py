"""The recovery that params.yaml asks for: of the small network, of the controls, and of the sweep with its own schedule."""

from torch import nn

from sparsify.compress.recovery import Recovery
from sparsify.data import Dataset
from sparsify.measure.accuracy import accuracy_percent
from sparsify.training import StepSettings, answers, taught
from stages.params import Params


def recovery_of(params: Params, dense: nn.Module, dataset: Dataset, train: StepSettings | None = None) -> Recovery:
    """dense: the teacher. train: in place of finetune.train"""
    finetune, train = params.finetune, train or params.finetune.train
    teacher = answers(dense, dataset.train, train.augment)
    return Recovery(dataset.train, lambda small: taught(small, teacher, train, finetune.distill, finetune.temperature),
                    lambda small: {"validation_accuracy": accuracy_percent(small, dataset.validation)}, train, params.seed)
