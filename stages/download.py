"""The data set, from wherever it comes, as a folder of arrays split into train, validation and test."""

from pathlib import Path

from sparsify import data
from sparsify.data import folder, functions
from sparsify.settings import InputError, one_line
from stages import params as parameters
from stages import runtime
from stages.params import Params

NOWHERE = "sparsify/data/named.py"  # data.path where nothing else is named: the code of the data sets known by name


def download(params: Params) -> None:
    found = _found(params.data)
    data.save(runtime.DATASET, found.train, found.test, params.data.validation, params.data.split_seed, found.classes,
              params.data.skip_unreadable)


def _found(chosen: parameters.Data) -> data.Source:
    path = Path(chosen.path)
    if chosen.name == folder.NAME:
        found = folder.read(path, chosen.size, chosen.channels)
        if linked := [each for each in (*path.glob("*"), *path.glob("*/*")) if each.is_symlink() and each.is_dir()]:
            print(one_line(f"{linked[0]} is a link to a folder{f', as {len(linked) - 1} more are' if linked[1:] else ''}: DVC does not see "
                           "a change behind it; give dvc repro -f after one, or copy the folder"))
        return found
    if ":" in chosen.name:
        found = functions.read(chosen.name, path, chosen.size, chosen.channels)
        runtime.say_unwatched("data.path", chosen.path, chosen.name)
        return found
    if chosen.size or chosen.channels:
        raise InputError(f"data.size and data.channels are for data.name: folder and for functions; {chosen.name} is taken as it is: "
                         "leave them empty")
    return data.fetch(chosen.name, None if chosen.path == NOWHERE else path, chosen.split_seed)


if __name__ == "__main__":
    runtime.main(download)
