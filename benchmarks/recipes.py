"""A recipe's parameters, composed as `dvc exp run -S OVERRIDE` composes them."""

import tempfile
from pathlib import Path
from typing import Any

import yaml
from dvc.utils.hydra import compose_and_dump

TOP = Path(__file__).parent.parent


def written(path: Path, *overrides: str) -> None:
    """Writes the composed parameters to `path`."""
    compose_and_dump(str(path), str(TOP / "conf"), None, "config", "", list(overrides))


def composed(*overrides: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        written(path, *overrides)
        return yaml.safe_load(path.read_text())
