"""The networks on which structure is tested and measured, by name. What a case claims is said in case.py."""

from tests.structure.zoo.case import Case, cast, hostile
from tests.structure.zoo.convolutions import CONVOLUTIONS
from tests.structure.zoo.refused import EMPTY, UNSEEN
from tests.structure.zoo.tokens import TOKENS
from tests.structure.zoo.traps import TRAPS
from tests.structure.zoo.vision import VISION

CASES = {**VISION, **CONVOLUTIONS, **TOKENS, **TRAPS}
__all__ = ["CASES", "CONVOLUTIONS", "EMPTY", "TOKENS", "TRAPS", "UNSEEN", "Case", "cast", "hostile"]
