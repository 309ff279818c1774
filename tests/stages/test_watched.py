"""Code of the user's that DVC does not watch is named: a change of it would leave old figures standing."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_recipes import compose

from stages import download, runtime


@pytest.mark.parametrize(("path", "watched"), [("mine", True), ("mine/own.py", True), ("link", True), (".", True),
                                               ("mine/table.csv", False), ("min", False), ("sparsify/models", False)])
def test_code_outside_of_what_is_watched_is_named(path, watched, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/own.py").write_text("def load(): pass\n")
    (tmp_path / "link").symlink_to("mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("mine", "mine.own"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    __import__("mine.own")
    runtime.say_unwatched("data.path", path, "mine.own:load")
    said = capsys.readouterr().out
    assert (said == "") == watched
    assert watched or (said.startswith(f"mine/own.py lies outside of data.path, {path}: ") and said.count("\n") == 1)


def test_a_class_folder_that_is_a_link_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("photos/cat", "photos/dog", "elsewhere"):
        Path(name).mkdir(parents=True)
        for number in range(5):
            Image.fromarray(np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(f"{name}/{number}.png")
    chosen = ("data.name=folder", "data.path=photos", "data.validation=2")
    compose(Path("params.yaml"), *chosen)
    runtime.main(download.download)
    assert "link" not in capsys.readouterr().out
    Path("photos/owl").symlink_to("../elsewhere")
    runtime.main(download.download)
    assert capsys.readouterr().out.startswith("photos/owl is a link to a folder: DVC does not see a change behind it;")
