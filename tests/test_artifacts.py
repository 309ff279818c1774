"""Files are whole or not there, hold data without code, and damage is an InputError that names the file."""

import csv
import errno
import io
import json
import os
import resource
import subprocess

import pytest
import torch

from sparsify import artifacts
from sparsify.artifacts import FileError

IMAGES = torch.rand(5, 1, 28, 28, generator=torch.Generator().manual_seed(0))


class Code:
    """Unpickling it makes the directory `path`."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def write_with_failing_move(path, monkeypatch, error):
    def fail(*_):
        raise error
    monkeypatch.setattr(os, "replace", fail)
    artifacts.write_bytes(path, b"new")


def write_to_full_disk(path, monkeypatch, error):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # the kernel stops the write after 1,000 bytes
    try:
        artifacts.write_bytes(path, b"n" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(("write", "error"), [
    (write_with_failing_move, OSError(errno.EIO, "input/output error")),
    (write_with_failing_move, KeyboardInterrupt()),
    (write_to_full_disk, OSError(errno.EFBIG, "file too large")),
], ids=["failing move", "interruption", "full disk"])
def test_interrupted_write_leaves_the_old_file_and_nothing_else(write, error, tmp_path, monkeypatch):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with pytest.raises(type(error)):
        write(path, monkeypatch, error)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"file.bin": b"old"}


def test_written_file_replaces_the_old_one_and_makes_its_folder(tmp_path):
    path = tmp_path / "new" / "folder" / "file.bin"
    artifacts.write_bytes(path, b"old")
    artifacts.write_bytes(path, b"new")
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == {"file.bin": b"new"}


def test_json_and_csv_read_back_with_the_standard_library(tmp_path):
    artifacts.write_json(tmp_path / "a.json", {"a": {"b": 0.1, "c": "text"}})
    artifacts.write_csv(tmp_path / "a.csv", [{"epoch": 1, "name": "a, b"}, {"epoch": 2, "name": 'c "d"'}])
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": {"b": 0.1, "c": "text"}}
    with (tmp_path / "a.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [{"epoch": "1", "name": "a, b"}, {"epoch": "2", "name": 'c "d"'}]


def test_equal_tensors_give_equal_bytes_whatever_the_name(tmp_path):
    for name in ("a.pt", "another name.pt"):
        artifacts.write_tensors(tmp_path / name, {"images": IMAGES, "epochs": 3})
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "another name.pt").read_bytes()


def test_tensors_and_plain_data_come_back(tmp_path):
    artifacts.write_tensors(tmp_path / "a.pt", {"images": IMAGES, "about": {"epochs": 3, "widths": [1, None, "two"]}})
    found = artifacts.read_tensors(tmp_path / "a.pt")
    assert torch.equal(found.pop("images"), IMAGES) and found == {"about": {"epochs": 3, "widths": [1, None, "two"]}}


def test_file_with_code_in_it_is_refused_and_the_code_does_not_run(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"state": {}, "extra": Code(tmp_path / "ran")}, path)
    content = path.read_bytes()
    path.write_bytes(content + artifacts.checksum(content).digest())
    with pytest.raises(FileError, match=r"model\.pt cannot be read"):
        artifacts.read_tensors(path)
    assert not (tmp_path / "ran").exists()
    torch.load(io.BytesIO(content), weights_only=False)
    assert (tmp_path / "ran").exists(), "the code would not have run anyhow"


@pytest.mark.parametrize("damage", [
    lambda content: content[:len(content) // 2], lambda content: content[:-10], lambda content: b"", lambda content: b"not tensors",
], ids=["half", "last bytes", "empty", "text"])
def test_damaged_file_is_named(damage, tmp_path):
    path = tmp_path / "model.pt"
    artifacts.write_tensors(path, {"images": IMAGES})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FileError, match="it has to be whole") as caught:
        artifacts.read_tensors(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileError, match=r"nowhere\.pt does not exist"):
        artifacts.read_tensors(tmp_path / "nowhere.pt")


def test_file_of_something_without_names_is_refused(tmp_path):
    buffer = io.BytesIO()
    torch.save(IMAGES, buffer)
    (tmp_path / "images.pt").write_bytes(buffer.getvalue() + artifacts.checksum(buffer.getvalue()).digest())
    with pytest.raises(FileError, match=r"images\.pt holds a Tensor; .* by name"):
        artifacts.read_tensors(tmp_path / "images.pt")


def test_what_dead_processes_left_is_swept_and_what_living_ones_write_is_not(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / f".a.json.{dead.pid}.tmp").write_text("half")
    (tmp_path / f".b.{dead.pid}.tmp").mkdir()
    (tmp_path / f".set.{dead.pid}.old").mkdir()
    (tmp_path / f".set.{dead.pid}.old" / "inputs.npy").write_text("all")
    kept = {f".c.json.{os.getpid()}.tmp", f".d.json.{os.getppid()}.tmp", ".hidden", ".e.tmp", ".f.12x.tmp", "g.json"}
    for name in kept:
        (tmp_path / name).write_text("")
    artifacts.sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept | {"set"}
    assert (tmp_path / "set" / "inputs.npy").read_text() == "all"


def test_a_full_disk_is_told_with_the_file(tmp_path):
    with pytest.raises(OSError, match=r"No space left on device: .*model\.pt"), artifacts.naming(tmp_path / "model.pt"):
        raise OSError(errno.ENOSPC, "No space left on device")
