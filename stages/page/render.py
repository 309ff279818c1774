"""Templates and what fills them. One file comes out: style, pictures and script inside, nothing from elsewhere."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2

HERE = Path(__file__).parent


def rendered(template: str, **content: Any) -> str:
    """A template of this folder, filled. A name that it uses and that is not given is an error."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined,
                                     keep_trailing_newline=True)
    environment.filters["short"] = short
    return environment.get_template(template).render(style=text("style.css"), **content).lstrip()


def short(value: float) -> str:
    """Three digits, without powers of ten: 0.0120, 3.70, 1,430"""
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"


def text(name: str) -> str:
    return (HERE / name).read_text()


def differences(params: Mapping[str, Any], recipe: Mapping[str, Any], section: str = "") -> Iterator[tuple[str, Any]]:
    """What `params` has otherwise than `recipe`, by dotted key."""
    for key, value in params.items():
        if isinstance(value, Mapping):
            yield from differences(value, recipe.get(key, {}), f"{section}{key}.")
        elif value != recipe.get(key):
            yield f"{section}{key}", value
