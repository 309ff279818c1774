"""Faults, tried by the hundred: kills at random moments (kills.py) and bad input (inputs.py). The table is that of docs/reliability.md."""
