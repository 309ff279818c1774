"""The recovery that params.yaml asks for: of the small network, of the controls, and of the sweep with its own schedule."""

from pathlib import Path

from torch import nn

from sparsify.compress import store
from sparsify.compress.recovery import Recovery
from sparsify.data import Dataset
from sparsify.settings import InputError
from sparsify.task import Task
from sparsify.training import StepSettings
from stages import networks, runtime
from stages.params import Params


def recovery_of(params: Params, dense: nn.Module, dataset: Dataset, train: StepSettings | None = None) -> Recovery:
    """dense: the teacher, unless params.yaml names another. train: in place of finetune.train, and too short for zeros to move"""
    regrow = params.finetune.regrow if train is None else 0.0
    task, train, teacher = Task(dataset.train, dataset.validation), train or params.finetune.train, teacher_of(params, dense, dataset)
    return Recovery(task.train, task.learnt(train, teacher, params.finetune.distill, params.finetune.temperature),
                    task.scored, train, params.seed, regrow)


def teacher_of(params: Params, dense: nn.Module, dataset: Dataset) -> nn.Module:
    """Whose answers a recovery learns: `dense`, or the network in finetune.teacher.

    Raises InputError where that cannot be used, as for one of other data, or split otherwise, where its file says what it has learnt from:
    it may have learnt what is held out here."""
    path = Path(params.finetune.teacher)
    if path == runtime.BASELINE:
        return dense
    try:
        network = _read(path, params, dataset).to(runtime.device())
        Task(dataset.train, dataset.validation).check_teacher(network, dense)
    except (InputError, OSError) as error:  # a FileError would have the user delete the file and make it anew by dvc repro
        raise InputError(f"finetune.teacher, {path}: {error}; name the file of a network that a stage or sparsify.save wrote") from None
    return network


def _read(path: Path, params: Params, dataset: Dataset) -> nn.Module:
    if not path.is_file():
        raise InputError("it is no file")
    content, about = store.header(path), networks.description(dataset)
    if odd := [key for key in about if content["data"] is not None and content["data"].get(key) != about[key]]:
        raise InputError(f"it was trained on other data ({', '.join(odd)} differ), not with the same `data`")
    found = store.architecture_of(path, content)
    if found is None or not (found.known or found.name == params.model.name):  # what params.yaml names is imported, and nothing else
        raise InputError(f"it holds a {content['class']}, which is no built-in network, none of torchvision's, and not model.name")
    return store.load(path, None if found.known else found.build())
