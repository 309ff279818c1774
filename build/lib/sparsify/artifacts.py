"""Writing so that nothing is ever half-written, and reading that says what is wrong with a file.

Bytes go to a temporary name beside the target and are moved over it. Files hold tensors and plain data, load with `weights_only`, and
carry a checksum: of flipped bits torch reads most as other numbers."""

import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sparsify.settings import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # imported by those alone that draw


DIGEST = 32  # bytes of a checksum


class FileError(InputError):
    """A file that should have been written before is missing, damaged, or holds something else."""


def write_bytes(path: Path, content: bytes) -> None:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = beside(path, "tmp")
    try:
        with naming(path), temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else a power cut can leave the new name without its content
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def beside(path: Path, end: str) -> Path:
    """The name of a temporary file or folder of this process. `sweep` knows it by its form."""
    return path.with_name(f".{path.name}.{os.getpid()}.{end}")


def sweep(folder: Path) -> None:
    """Removes what killed processes of this machine left under names of `beside`; an old version goes back where no new one is."""
    for path in folder.glob(".*.*"):
        name, pid, end = ([*path.name[1:].rsplit(".", 2), "", ""])[:3]
        if end not in ("tmp", "old") or not pid.isdecimal() or _alive(int(pid)):
            continue
        if end == "old" and not path.with_name(name).exists():
            path.rename(path.with_name(name))
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of another user
        return True
    return True


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError in it that names no file, of a full disk say, names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


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
    buffer.write(checksum(buffer.getbuffer()).digest())
    write_bytes(path, buffer.getvalue())


def read_tensors(path: Path) -> dict[str, Any]:
    """What `write_tensors` wrote, on the CPU. Raises FileError for a file that is missing, damaged, or holds more than tensors and
    plain data by name; no code in it is run."""
    try:
        whole = memoryview(Path(path).read_bytes())
        if checksum(whole[:-DIGEST]).digest() != whole[-DIGEST:]:
            raise ValueError("its checksum is not that of its content")
        content = torch.load(io.BytesIO(whole[:-DIGEST]), map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FileError(f"{path} does not exist") from None
    except Exception as error:  # torch raises many types here: a damaged zip, a refused pickle, a short read
        said = (str(error).splitlines() or [""])[0].split(" This file can still be loaded")[0]  # torch goes on with advice
        raise FileError(f"{path} cannot be read ({type(error).__name__}: {said}); it has to be whole, and to hold tensors and "
                        "plain data alone") from None
    if not isinstance(content, dict):
        raise FileError(f"{path} holds a {type(content).__name__}; it has to hold tensors and plain data by name")
    return content


def checksum(*parts: Any) -> "hashlib.blake2b":
    """Of buffers, one after the other."""
    found = hashlib.blake2b(digest_size=DIGEST)
    for part in parts:
        found.update(part)
    return found


def tensors_checksum(tensors: Mapping[str, torch.Tensor], *before: Any) -> str:
    """Of their names, types, shapes and bytes, in the order of their names. before: buffers that count too"""
    found = checksum(*before)
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        found.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return round(value, 9) if isinstance(value, float) else value

