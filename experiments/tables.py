"""Tables of docs/: their cells, Markdown, and their place in a page, between markers; the text around it stays."""

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from sparsify import artifacts
from sparsify.settings import InputError

Table = list[list[str]]


def mean(values: pd.Series, digits: int = 0) -> str:
    """With the deviation, where there are several that differ."""
    deviation = f" ± {values.std():,.{digits}f}" if len(values) > 1 and values.std() > 0 else ""
    return f"{values.mean():,.{digits}f}{deviation}"


def markdown(table: Table) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in table]
    return "\n".join([lines[0], "|" + " --- |" * len(table[0]), *lines[1:]])


def filled(page: Path, blocks: Mapping[str, str]) -> None:
    """Puts each text between its markers in the file `page`. Raises InputError where one has no place."""
    content = page.read_text()
    for name, text in blocks.items():
        pattern = re.compile(rf"(<!-- made: {name} -->\n).*?(<!-- end -->)", re.S)
        if not pattern.search(content):
            raise InputError(f"{page.name} has no '<!-- made: {name} -->' with an '<!-- end -->' after it; put both where it belongs")
        content = pattern.sub(lambda found, text=text: f"{found[1]}\n{text}\n\n{found[2]}", content)
    artifacts.write_bytes(page, content.encode())
