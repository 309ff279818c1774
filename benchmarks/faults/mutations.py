"""Small harm to text, bytes and structures, drawn by a seeded generator."""

from collections.abc import Callable
from random import Random
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 3, 10**9, 10**18, 10**400, 2**64, -0.0, 0.5, 1e-320, 1e308, -1e308, float("inf"), float("nan"), "", " ",
    "1", "1e-3",
    "nan", "null", "text", "$\\frac{$", "a\nb", "a\x1b[31mb", "a\0b", "\u202e", "../../etc/passwd", "x" * 5000, "1:30", "010", "\U0001f600",
    [], [0, 0, 0], [1], [[]], ["a"], [None], [10**9], [-1, 10**400], {}, {"a": 1}, {"kind": "gate"}, {1: 2}, list(range(2000)))
LINES = ("seed: 2001-13-45", "seed: !!int abc", "seed: 010", "seed: 1:30", "seed: [[[", "x: " + "[" * 3000, "? [1]\n: 2", "- 1", "seed: *a",
         "a: &a [*a]", "a: !!python/object/apply:os.system [true]", "\t", "%YAML 9.9", "---", "...", "<<<<<<< HEAD", "seed: 1", "<<: 3",
         "seed: !!timestamp x", "seed: " + "9" * 5000, "a: &a " + "[" * 40 + "]" * 40, "seed: 0x", "seed: '", "é: ü", "\ufeff", "\x00",
         "b0: &b0 [x, x, x]\n" + "\n".join(f"b{n}: &b{n} [*b{n - 1}, *b{n - 1}, *b{n - 1}]" for n in range(1, 20)))


def harmed_bytes(content: bytes, draw: Random) -> bytes:
    """Cut, flipped, zeroed, doubled, or something else altogether."""
    place = draw.randrange(max(1, len(content)))
    some = draw.choice((1, 8, 64, 512))
    ways: list[Callable[[], bytes]] = [
        lambda: content[:place], lambda: content[place:], lambda: b"", lambda: content + content, lambda: content[:place] + content,
        lambda: content[:place] + bytes(some) + content[place + some:], lambda: content[:place] + draw.randbytes(some) + content[place:],
        lambda: content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1:] if content else b"x",
        lambda: draw.randbytes(some), lambda: b"\0" * 4096, lambda: b"PK\x03\x04" + content, lambda: b"\x93NUMPY" + content]
    return draw.choice(ways)()


def harmed_text(text: str, draw: Random) -> bytes:
    """As a person, an editor or git leaves it."""
    lines = text.splitlines() or [""]
    place = draw.randrange(len(lines))
    line = lines[place]
    ways: list[Callable[[], list[str]]] = [
        lambda: lines[:place], lambda: lines[place:], lambda: [*lines[:place], *lines[place + 1:]], lambda: [*lines, line],
        lambda: [*lines[:place], draw.choice(LINES), *lines[place:]],
        lambda: [*lines[:place], line.replace(":", "", 1), *lines[place + 1:]],
        lambda: [*lines[:place], " " + line, *lines[place + 1:]], lambda: [*lines[:place], line[:len(line) // 2], *lines[place + 1:]],
        lambda: ["<<<<<<< HEAD", *lines, "=======", *lines, ">>>>>>> main"], lambda: [each.replace(",", ";") for each in lines],
        lambda: [*lines[:place], f"{line},{line}", *lines[place + 1:]], lambda: [*lines[:place], f'{line}"', *lines[place + 1:]]]
    if draw.random() < 0.2:
        return harmed_bytes(text.encode(), draw)
    return ("\n".join(draw.choice(ways)()) + "\n").encode("utf-8", "surrogatepass")


def harmed(content: Any, draw: Random) -> Any:
    """A copy of plain data with one place in it changed."""
    if isinstance(content, dict) and content and draw.random() < 0.9:
        key = draw.choice(list(content))
        if draw.random() < 0.1:
            return {other: value for other, value in content.items() if other != key}
        if draw.random() < 0.05:
            return content | {draw.choice(("new", "a\nb", "", "x" * 300)): content[key]}
        return content | {key: harmed(content[key], draw)}
    if isinstance(content, list) and content and draw.random() < 0.7:
        place = draw.randrange(len(content))
        return [*content[:place], harmed(content[place], draw), *content[place + 1:]]
    return draw.choice(ODD)
