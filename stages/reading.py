"""What stages are given as text, read strictly: YAML as DVC reads it, and the tables and figures that other stages wrote.

DVC reads YAML 1.2 and PyYAML 1.1, in which 010 is 8, 1:30 is 90, yes is true and 1e-3 is text; so that a stage runs with the values that
dvc.lock records, PyYAML is given the scalars of 1.2 here. Keys stand once, nesting and aliases are bounded, and a date stays text."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from sparsify.settings import InputError

MOST_BYTES, MOST_NODES, MOST_DEPTH = 1 << 20, 100_000, 50  # of a file; of its values, aliases written out; of sections in sections

_BOOL, _INT, _FLOAT, _NULL = (f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "null"))
_SCALARS = {  # as ruamel.yaml, which DVC reads with, has them for 1.2
    _BOOL: (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    _INT: (r"[-+]?(0b[01_]+|0o?[0-7_]+|[0-9][0-9_]*|0x[0-9a-fA-F_]+)", "-+0123456789"),
    _FLOAT: (r"[-+]?([0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.[0-9][0-9_]*([eE][-+]?[0-9]+)?"
             r"|\.(inf|Inf|INF))|\.(nan|NaN|NAN)", "-+0123456789."),
    _NULL: (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "tag:yaml.org,2002:merge": (r"<<", "<"),
}


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  add_implicit_resolver fills it, and leaves the parent's alone

    def __init__(self, text: str):
        super().__init__(text)
        self._depth = self._nodes = 0
        self._sizes: dict[int, int] = {}  # of what an alias may stand for

    def compose_node(self, parent: Any, index: Any) -> Any:
        mark, before = self.peek_event().start_mark, self._nodes
        alias = self.check_event(yaml.AliasEvent)
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise yaml.composer.ComposerError(None, None, f"more than {MOST_DEPTH} sections or lists in one another", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if alias and id(node) not in self._sizes:
            raise yaml.composer.ComposerError(None, None, "an alias stands within what it stands for", mark)
        self._nodes += self._sizes[id(node)] if alias else 1
        if self._nodes > MOST_NODES:
            raise yaml.composer.ComposerError(None, None, f"more than {MOST_NODES} values, aliases written out", mark)
        self._sizes.setdefault(id(node), self._nodes - before)
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.composer.ComposerError(None, None, "a key that is no text", key.start_mark)
            if key.value in seen:
                raise yaml.composer.ComposerError(None, None, f"the key {key.value!r} stands twice in one section", key.start_mark)
            seen.add(key.value)
        return node

    def construct_yaml_int(self, node: Any) -> int:
        text = self.construct_scalar(node).replace("_", "")
        return int(text, 0 if re.match("[-+]?0[box]", text) else 10)  # of more than 4,300 digits Python makes none


for _tag, (_pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(f"(?:{_pattern})\\Z"), list(_first))
_Loader.add_constructor(_INT, _Loader.construct_yaml_int)


class _Dumper(yaml.SafeDumper):
    """Quotes text that either version would take for something else."""

    yaml_implicit_resolvers = {first: [*yaml.SafeDumper.yaml_implicit_resolvers.get(first, ()),  # noqa: RUF012
                                       *_Loader.yaml_implicit_resolvers.get(first, ())]
                               for first in {**yaml.SafeDumper.yaml_implicit_resolvers, **_Loader.yaml_implicit_resolvers}}


def written(content: Mapping[str, Any]) -> str:
    """As YAML, in the order of its keys."""
    return yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False)


def parsed(text: str, where: str) -> Any:
    """What YAML says. Raises InputError, whose one line begins with `where` and says what is wrong and in which line."""
    try:
        return yaml.load(text, _Loader)
    except Exception as error:  # a text that is given makes PyYAML raise many types: ValueError, AttributeError, RecursionError, ...
        mark = getattr(error, "problem_mark", None)
        said = f"{getattr(error, 'problem', error)}" + (f" in line {mark.line + 1}" if mark else "")
        raise InputError(f"{where} is not YAML that can be read ({said[:200]}); mend it, or restore it with git") from None


def text(path: Path) -> str:
    """Of a file that somebody may have written. Raises FileNotFoundError, and InputError for what is no file of a reasonable size."""
    if path.exists() and not path.is_file():  # a pipe would never end
        raise InputError(f"{path} is not a file; put one in its place, or restore it with git")
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise InputError(f"{path} is larger than {MOST_BYTES:,} bytes; restore it with git")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8 ({error.reason} at byte {error.start}); mend it, or restore it with git") from None


def section(path: Path) -> dict[str, Any]:
    """A file of YAML that holds keys. Raises InputError."""
    try:
        content = parsed(text(path), str(path))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist here; run in the top directory of the project") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} holds {str(content)[:60]!r}; it has to hold keys, each with a value; mend it, or restore it with git")
    return cast(dict[str, Any], content)
