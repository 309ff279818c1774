"""What a piece brings is told by ratios within a round."""

from benchmarks import pieces
from stages import runtime


def test_a_ratio_is_of_the_same_round():
    whole, piece = [(10.0, 8.0), (20.0, 8.0), (10.0, 8.0)], [(12.0, 8.0), (24.0, 8.8), (12.0, 12.0)]
    first, second = pieces.rows_of({pieces.WHOLE: whole, "a piece": piece})
    assert (first["clock"], first["processor"], first["seconds"]) == (1, 1, 10)
    assert (second["without"], second["clock"], second["processor"], second["seconds"]) == ("a piece", 1.2, 1.1, 12)


def test_every_piece_is_there_to_be_taken_away(monkeypatch):
    kept = runtime.keep_freed_memory
    monkeypatch.setattr(runtime, "keep_freed_memory", kept)
    for take in pieces.PIECES.values():
        take()
    assert runtime.keep_freed_memory is not kept
