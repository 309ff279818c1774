"""The data set, from wherever it comes, as one file of tensors split into train, validation and test."""

from sparsify import data
from stages import runtime
from stages.params import Params


def download(params: Params) -> None:
    train, test = data.fetch(params.data.name, runtime.mirror(), params.data.split_seed)
    data.save(runtime.DATASET, train, test, params.data.validation, params.data.split_seed)


if __name__ == "__main__":
    runtime.main(download)
