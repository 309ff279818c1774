"""The commands that the documents show: lines of their sh blocks, and what stands in backquotes like one."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

TOP = Path(__file__).parent.parent
PAGES = [TOP / "README.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").rglob("*.md"))]
PROGRAMS = ("make", "dvc", "python", "torchrun")


class Command(NamedTuple):
    page: str
    words: tuple[str, ...]

    def __str__(self):
        return f"{self.page}: {' '.join(self.words)}"


def commands():
    """Of all pages, each once, without what stands before (VARIABLE=value) and behind (a comment)."""
    return list(dict.fromkeys(command for page in PAGES for command in _of(page)))


def _of(page):
    text = page.read_text()
    blocks = re.findall(r"```(?:sh|bash)\n(.*?)```", text, re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    prose = re.sub(r"```.*?```", "", text, flags=re.S)
    lines += [" ".join(each.split()) for each in re.findall(r"`([^`]+)`", prose)]
    for line in lines:
        for part in re.split(r" && | \| ", _without_comment(line)):
            try:
                words = shlex.split(part)
            except ValueError:  # prose in backquotes, with an apostrophe
                continue
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            if len(words) > 1 and words[0] in PROGRAMS and "..." not in words:
                yield Command(str(page.relative_to(TOP)), tuple(words))


def _without_comment(line):
    return re.sub(r"\s#.*$", "", line)
