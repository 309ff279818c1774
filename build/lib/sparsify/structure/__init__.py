"""Which units of any network leave together: analysis.py exports its graph, walks through it on labels, and finds the streams.

units.py (union-find) <- streams.py, walk.py <- contractions.py heads.py norms.py movement.py <- rules.py (all of them) <- analysis.py
docs/structure.md tells the idea, the rules and the limits."""

from sparsify.structure.analysis import analyse, streams
from sparsify.structure.streams import COSTS, Slot, Stream, Structure, listed, protected, unit_costs, weight_costs

__all__ = ["COSTS", "Slot", "Stream", "Structure", "analyse", "listed", "protected", "streams", "unit_costs", "weight_costs"]
