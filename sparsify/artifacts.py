"""Writing so that nothing is ever half-written, and reading that says what is wrong with a file.

Bytes go to a temporary name beside the target and are moved over it. Files hold tensors and plain data, and load with `weights_only`."""

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sparsify.settings import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # imported by those alone that draw


class FileError(InputError):
    """A file that should have been written before is missing, damaged, or holds something else."""


def write_bytes(path: Path, content: bytes) -> None:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else a power cut can leave the new name without its content
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_picture(path: Path, figure: "Figure") -> None:
    write_bytes(path, picture(figure))


def picture(figure: "Figure") -> bytes:
    """As PNG, the same bytes for the same figure."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, metadata={"Software": None})
    return content.getvalue()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Floats to nine decimals, so that 94.4 percent does not read 94.39999999999999."""
    write_bytes(path, (json.dumps(_rounded(content), indent=2) + "\n").encode())


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """One line a row, under the keys of the first."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(_rounded(row) for row in rows)
    write_bytes(path, text.getvalue().encode())


def write_tensors(path: Path, content: Mapping[str, Any]) -> None:
    # torch.save puts the stem of a file's name inside the file; a buffer keeps equal content equal byte for byte.
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    write_bytes(path, buffer.getvalue())


def read_tensors(path: Path) -> dict[str, Any]:
    """What `write_tensors` wrote, on the CPU. Raises FileError for a file that is missing, damaged, or holds more than tensors and
    plain data by name; no code in it is run."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FileError(f"{path} does not exist") from None
    except Exception as error:  # torch raises many types here: a damaged zip, a refused pickle, a short read
        said = (str(error).splitlines() or [""])[0].split(" This file can still be loaded")[0]  # torch goes on with advice
        raise FileError(f"{path} cannot be read ({type(error).__name__}: {said}); it has to be whole, and to hold tensors and "
                        "plain data alone") from None
    if not isinstance(content, dict):
        raise FileError(f"{path} holds a {type(content).__name__}; it has to hold tensors and plain data by name")
    return content


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return round(value, 9) if isinstance(value, float) else value

