"""YAML as DVC reads it, strictly: what it says differently elsewhere, twice, or without end is one line."""

import os
import time

import pytest
from ruamel.yaml import YAML

from sparsify.settings import InputError
from stages import compose, reading

SCALARS = """010 08 -010 00 0x1F 0b11 0o17 1_000 +1 1:30 1e3 1e-3 1E5 1.e3 1.0e-3 .5 5. 0.5_0 .e5 1e _1 .inf -.Inf +.inf .nan
yes on no Off y true TRUE null ~ NULL nan inf 1.5.2 -0 text"""
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))


def refused(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("scalar", SCALARS.split())
def test_a_value_is_what_dvc_takes_it_for(scalar):
    assert repr(reading.parsed(f"a: {scalar}", "it")) == repr(YAML(typ="safe").load(f"a: {scalar}"))


@pytest.mark.parametrize(("text", "said"), [
    ("seed: 1\nlr: 2\nseed: 3", "the key 'seed' stands twice in one section in line 3"),
    ("a: " + "[" * 3000, "more than 50 sections or lists"),
    (BOMB, "more than 100000 values, aliases written out"),
    ("a: &a [*a]", "stands within what it stands for"),
    ("a: !!int abc", "abc"), ("a: !!timestamp soon", "it is not YAML"), ("a: !!python/object:os.system x", "could not determine"),
    ("? [1]\n: 2", "a key that is no text"), ("a: " + "9" * 5000, "it is not YAML"), ("a: \0", "unacceptable character"),
    ("a: 1\n---\na: 2", "another document"),
], ids=lambda value: value[:15])
def test_what_cannot_be_used_is_one_line(text, said):
    start = time.perf_counter()
    assert said in refused(reading.parsed, text, "it")
    assert time.perf_counter() - start < 2


def test_an_alias_that_ends_is_read():
    assert reading.parsed("a: &b {c: 1}\nd: {<<: *b, e: 2}\nf: *b", "it") == {"a": {"c": 1}, "d": {"c": 1, "e": 2}, "f": {"c": 1}}


def test_a_pipe_a_giant_and_a_folder_are_no_files_to_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "giant").write_bytes(b"#" * (reading.MOST_BYTES + 1))
    assert "pipe is not a file" in refused(reading.section, tmp_path / "pipe")
    assert "giant is larger than" in refused(reading.section, tmp_path / "giant")
    assert "is not a file" in refused(reading.section, tmp_path)


@pytest.mark.parametrize("text", ["yes", "1e3", "0o17", "010", "1:30", "null", "12e4567", "two\nlines", ""])
def test_text_that_is_written_is_read_as_text_by_all(text):
    for read in (YAML(typ="safe").load, lambda content: reading.parsed(content, "it")):
        assert read(reading.written({"a": text})) == {"a": text}


@pytest.mark.parametrize(("content", "said"), [
    ("defaults: [mine]", "mine.yaml includes itself: mine <- mine"), ("defaults: default", "has to be a list"),
    ("recipe_name: ${seeed}", "${seeed} names no key"), ("recipe_name: ${recipe_name}", "refers to itself"), ("[1]", "has to hold keys")])
def test_a_recipe_of_ones_own_that_cannot_be_composed_is_one_line(content, said, tmp_path):
    (tmp_path / "recipe").mkdir()
    (tmp_path / "config.yaml").write_text("defaults: [{recipe: mine}]\nrecipe_name: none\n")
    (tmp_path / "recipe" / "mine.yaml").write_text(content)
    assert said in refused(lambda: compose.composed(conf=tmp_path))
