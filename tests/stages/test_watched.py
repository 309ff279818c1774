"""Code of the user's that DVC does not watch is named: a change of it would leave old figures standing."""

import sys

import pytest

from stages import runtime


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
