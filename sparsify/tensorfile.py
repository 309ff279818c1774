"""Tensors and one header of plain data as a safetensors file: no code in it, and the same bytes for the same content.

The header is JSON under a single key of the file's metadata, as the order of several would be left to chance. It ends with a checksum of
its own text and of the tensors: names, dtypes, shapes, bytes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sparsify.artifacts import DIGEST, FileError, tensors_checksum, write_bytes
from sparsify.settings import InputError

FORMAT = 2  # what is written
READ = (1, 2)  # 1: without a checksum
_KEY = "sparsify"  # of the header, in the metadata
_NONE = "0" * 2 * DIGEST  # stands for the checksum while it is computed


def write(path: Path, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Tensors of any layout in memory and on any device; those that are one tensor under several names are written once.
    Raises InputError for what cannot be written; nothing is ever half-written."""
    tied: dict[str, str] = {}
    first: dict[tuple[Any, ...], str] = {}
    plain: dict[str, Tensor] = {}
    try:
        for name, tensor in tensors.items():
            same = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
            if tensor.numel() and first.setdefault(same, name) != name:
                tied[name] = first[same]
            else:
                plain[name] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        text = json.dumps({"format": FORMAT, **header, "tied": tied, "checksum": _NONE}, allow_nan=False)
        head, _, tail = text.rpartition(_NONE)
        content = safetensors.torch.save(plain, {_KEY: head + _checksum(text, plain) + tail})
    except (AttributeError, KeyError, NotImplementedError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
        raise InputError(f"{path} cannot be written ({_said(error)}); it can hold dense tensors with values, and plain data") from None
    write_bytes(path, content)


def read_header(path: Path) -> dict[str, Any]:
    """Without the tensors, and so without a look at the checksum. Raises FileError."""
    return _open(path, tensors=False)[0]


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `write` wrote, on the CPU. Raises FileError for a file that is missing, of another kind, or damaged, be it by a bit; no code in
    it is run."""
    header, tensors = _open(path, tensors=True)
    tied = header.get("tied")
    if not isinstance(tied, dict) or not all(isinstance(first, str) and first in tensors for first in tied.values()):
        raise FileError(f"{path} has a header that does not fit its tensors: tied is {_short(tied)}")
    return header, tensors | {name: tensors[first] for name, first in tied.items()}


def _open(path: Path, tensors: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
            found = {name: file.get_tensor(name) for name in file.keys()} if tensors else {}  # noqa: SIM118  it is no mapping
    except FileNotFoundError:
        raise FileError(f"{path} does not exist") from None
    except (OSError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
        if _is_archive(path):
            raise FileError(f"{path} is a file of torch.save, which can hold code; it has to be a safetensors file, written anew") from None
        raise FileError(f"{path} cannot be read ({_said(error)}); it has to be whole, and a safetensors file") from None
    if text is None:
        raise FileError(f"{path} holds tensors without a header of this library; it has to be written by it")
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path} has a header that is not JSON ({_said(error)})") from None
    if not isinstance(header, dict) or header.get("format") not in READ:
        came = _short(header.get("format") if isinstance(header, dict) else header)
        raise FileError(f"{path} is of format {came}; this version of the library reads format {' and '.join(map(str, READ))}")
    if tensors and header["format"] > 1:
        said = str(header.get("checksum"))
        head, found_there, tail = text.rpartition(said or _NONE)
        if not found_there or said != _checksum(head + _NONE + tail, found):
            raise FileError(f"{path} is damaged: its checksum is not that of its content; take it from a copy, or make it anew")
    return header, found


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> str:
    """text: the header, zeros in place of its checksum"""
    return tensors_checksum(tensors, text.encode())


def _is_archive(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"
