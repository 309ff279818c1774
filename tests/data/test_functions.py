"""What a Python function returns becomes a data set, or one line that says what came."""

import io
import os
import sys
import types

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from sparsify import data
from sparsify.data import functions
from sparsify.settings import InputError

RANDOM = np.random.default_rng(0)
LABELS = np.arange(30) % 3
TABLE = RANDOM.normal(3, 2, (30, 4))
IMAGES = RANDOM.integers(0, 256, (30, 3, 12, 10), dtype=np.uint8)


class Items(Dataset):
    """What `make` makes of a number, with labels as above."""

    def __init__(self, make, n=30, label=lambda number: number % 3):
        self.make, self.n, self.label = make, n, label

    def __len__(self):
        return self.n

    def __getitem__(self, number):
        return self.make(number), self.label(number)


@pytest.fixture
def module(monkeypatch):
    """module(function) -> the name by which data.name calls it"""
    def put(function, name="mine"):
        made = types.ModuleType("their_code")
        setattr(made, name, function)
        monkeypatch.setitem(sys.modules, "their_code", made)
        return f"their_code:{name}"
    return put


def save(name, tmp_path, **how):
    found = functions.read(name, tmp_path, **how)
    data.save(tmp_path / "d", found.train, found.test, 5, 0, found.classes)
    return data.load(tmp_path / "d")


def inputs(tmp_path):
    return torch.from_numpy(np.array(np.load(tmp_path / "d" / "inputs.npy")))


def pair(values, labels=LABELS):
    return lambda: ((values, labels), (values[:6], labels[:6]))


def chunked(values, labels=LABELS):
    return lambda: (TensorDataset(torch.as_tensor(values), torch.as_tensor(labels)),) * 2


FRAME = pd.DataFrame(TABLE, columns=list("abcd"))


@pytest.mark.parametrize("returned", [
    pair(TABLE), pair(torch.tensor(TABLE), torch.tensor(LABELS)), pair(TABLE.tolist(), LABELS.tolist()),
    pair(FRAME, pd.Series(LABELS)),
    chunked(TABLE), lambda: [Items(lambda n: TABLE[n]), Items(lambda n: torch.tensor(TABLE[n]), 6)]],
    ids=["numpy", "torch", "lists", "pandas", "TensorDataset", "Dataset"])
def test_rows_of_numbers_come_in_every_form(returned, module, tmp_path):
    dataset = save(module(returned), tmp_path)
    assert torch.equal(inputs(tmp_path)[:30], torch.tensor(TABLE, dtype=torch.float32))
    assert (dataset.input_shape, dataset.classes, len(dataset.train), len(dataset.validation)) == ((4,), ("0", "1", "2"), 25, 5)
    assert torch.equal(dataset.test.labels[:6], torch.tensor(LABELS[:6]))
    torch.testing.assert_close(dataset.train[:].mean(0), torch.zeros(4), atol=1e-5, rtol=0)


@pytest.mark.parametrize("returned", [
    pair(IMAGES), chunked(IMAGES), lambda: [Items(lambda n: Image.fromarray(IMAGES[n].transpose(1, 2, 0)))] * 2],
    ids=["arrays", "TensorDataset", "Pillow"])
@pytest.mark.parametrize(("how", "shape"), [({}, (3, 12, 10)), ({"size": 8, "channels": 1}, (1, 8, 8))])
def test_images_stay_bytes_and_become_what_is_asked(returned, how, shape, module, tmp_path):
    dataset = save(module(returned), tmp_path, **how)
    assert (dataset.input_shape, dataset.train.inputs.dtype) == (shape, torch.uint8)
    if not how:
        assert torch.equal(inputs(tmp_path)[:30], torch.from_numpy(IMAGES))


def test_bfloat16_which_numpy_lacks_is_read(module, tmp_path):
    values = torch.tensor(TABLE).bfloat16()
    save(module(pair(values)), tmp_path)
    assert torch.equal(inputs(tmp_path)[:30], values.float())


def test_images_of_floats_are_normalised_by_channel(module, tmp_path):
    dataset = save(module(pair(IMAGES / 100)), tmp_path)
    assert dataset.train.inputs.dtype == torch.float32
    values = dataset.train[:].transpose(0, 1).flatten(1)
    torch.testing.assert_close(values.mean(1), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(values.std(1, correction=0), torch.ones(3), atol=1e-5, rtol=0)


def test_a_function_that_names_path_gets_data_path_and_classes_keep_their_names(module, tmp_path):
    given = []

    def mine(path):
        given.append(path)
        train = Items(lambda n: TABLE[n])
        train.classes = ["ant", "bee", "cow"]
        return train, Items(lambda n: TABLE[n], 6)
    assert save(module(mine), tmp_path).classes == ("ant", "bee", "cow")
    assert given == [tmp_path]


def raising():
    raise KeyError("no\nsuch column")


def with_value(value, row=7, column=2):
    table = TABLE.copy()
    table[row, column] = value
    return table


def leaving(number=1):
    raise SystemExit(0)


def killed(number):
    if torch.utils.data.get_worker_info():
        os._exit(9)
    return TABLE[0]


class NoLength(Items):
    def __len__(self):
        raise RuntimeError("not yet")


def moving(number):
    """An animated GIF, of which Pillow gives the first frame."""
    content = io.BytesIO()
    Image.new("L", (4, 4), 1).save(content, "GIF", save_all=True, append_images=[Image.new("L", (4, 4), 2)])
    return Image.open(content)


class Endless(IterableDataset):
    def __iter__(self):
        return iter([])


@pytest.mark.parametrize(("returned", "words"), [
    (raising, "did not return: KeyError: 'no\\nsuch column'"),
    (leaving, "did not return: SystemExit: 0"),
    (lambda one: one, "did not return: TypeError"),
    (lambda: None, "returned None; it has to return (train, test)"),
    (lambda: {"train": 1}, "returned a dict;"),
    (lambda: (TABLE, LABELS, TABLE), "returned a tuple of 3 (ndarray, ndarray, ndarray)"),
    (lambda: (TABLE, LABELS), "train of their_code:mine is a ndarray of shape (30, 4)"),
    (lambda: (Endless(), Endless()), "train of their_code:mine is a Endless"),
    (lambda: ((TABLE, LABELS), None), "test of their_code:mine is None"),
    (pair(TABLE[:, 0]), "inputs of shape (30,)"),
    (pair(IMAGES[:, 0]), "inputs of shape (30, 12, 10)"),
    (pair(IMAGES.transpose(0, 2, 3, 1)), "channels have to come first"),
    (pair(TABLE.astype(str)), "inputs of <U32 that are not all numbers"),
    (pair(pd.DataFrame({"a": ["x"] * 30})), "not all numbers"),
    (pair(with_value(np.nan)), "train of their_code:mine has nan in row 7, column 2"),
    (pair(with_value(-np.inf)), "has -inf in row 7, column 2"),
    (pair(with_value(1e300)), "has 1e+300 in row 7, column 2"),
    (pair(pd.DataFrame(with_value(np.nan), columns=["age", "b", "c d", "e"])), "has nan in row 7, column 'c d'"),
    (lambda: [Items(lambda n: with_value(np.nan)[n])] * 2, "example 7 of train of their_code:mine has nan"),
    (pair(TABLE, LABELS[:-1]), "has labels of shape (29,) for 30 inputs"),
    (pair(TABLE, LABELS[:, None]), "has labels of shape (30, 1) for 30 inputs"),
    (pair(TABLE, LABELS.astype(float)), "has labels of float64, such as 0.0"),
    (pair(TABLE, LABELS.astype(str)), "has labels of <U21, such as 0"),
    (pair(TABLE, LABELS - 1), "a label of the training set is -1"),
    (lambda: [Items(lambda n: TABLE[n], label=lambda n: n % 3 - 1)] * 2, "example 0 of train of their_code:mine has the label -1"),
    (lambda: [Items(lambda n: TABLE[n], label=lambda n: 0.5)] * 2, "example 0 of train of their_code:mine has labels of float64"),
    (lambda: ((TABLE, LABELS), (TABLE[:3], LABELS[:3] + 1)), "the test set has the label 3, the training set 3 classes"),
    (pair(TABLE, np.minimum(np.arange(30) // 29, 1)), "fewer than two examples to learn from: 1 (1)"),
    (pair(TABLE, np.zeros(30, int)), "there is one class"),
    (lambda: ((TABLE, LABELS), (TABLE[:, :3], LABELS)), "the test inputs are 3 numbers, float32, the training inputs 4 numbers, float32"),
    (lambda: ((IMAGES, LABELS), (IMAGES / 1, LABELS)), "the test inputs are 10x12 with 3 channels, float32"),
    (lambda: [Items(lambda n: TABLE[n, :2 + n // 9])] * 2, "example 9 of train of their_code:mine is 3 numbers, float32; others are 2"),
    (lambda: [Items(lambda n: TABLE[n + 20])] * 2, "example 10 of train of their_code:mine cannot be had: IndexError"),
    (lambda: [Items(leaving)] * 2, "example 0 of train of their_code:mine cannot be had: SystemExit: 0"),
    (lambda: [Items(killed, 80)] * 2, "a process that reads examples has ended before its time"),
    (lambda: [NoLength(leaving)] * 2, "train of their_code:mine does not tell its length: RuntimeError: not yet"),
    (pair([[1, 2], [3]]), "train of their_code:mine has a list of 2 (list, list) that is no array of numbers: ValueError"),
    (lambda: [(torch.tensor(TABLE).to_sparse(), LABELS)] * 2, "has a Tensor of shape (30, 4) that is no array of numbers: TypeError"),
    (pair(TABLE, LABELS * 10**12), "has the label 2000000000000, and only 30 examples"),
    (lambda: [["x", "y"]] * 2, "has inputs of shape ()"),
    (lambda: [Items(moving)] * 2, "example 0 of train of their_code:mine cannot be made into an image: ValueError: it is animated"),
    (lambda: [Items(lambda n: "text")] * 2, "example 0 of train of their_code:mine has inputs of shape (1,)"),
])
def test_what_cannot_be_used_is_one_line(returned, words, module, tmp_path):
    with pytest.raises(InputError) as caught:
        save(module(returned), tmp_path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "words"), [
    ("nowhere.to_be:found", "nowhere.to_be cannot be imported from here (ModuleNotFoundError: No module named 'nowhere')"),
    ("broken_code:mine", "broken_code cannot be imported from here (SyntaxError"),
    ("script_code:mine", "script_code cannot be imported from here (SystemExit: 3"), (":mine", "cannot be imported from here"),
    ("math:nothing", "math has no nothing"), ("math:", "math has no function"), ("math:pi", "which is a float; it has to be a function")])
def test_a_function_that_is_not_there_is_one_line(name, words, tmp_path, monkeypatch):
    (tmp_path / "broken_code.py").write_text("def mine(:\n")
    (tmp_path / "script_code.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError) as caught:
        functions.read(name, tmp_path)
    assert str(caught.value).startswith(f"data.name is '{name}'")
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("returned", [pair(TABLE), lambda: [Items(lambda n: TABLE[n])] * 2])
def test_a_size_for_rows_is_refused(returned, module, tmp_path):
    with pytest.raises(InputError, match=r"data\.size and data\.channels are for images"):
        save(module(returned), tmp_path, size=8)
