"""Fault tests: hostile and damaged input, repeatable by seed. `python -m faults` runs all and prints a table.

A module of this package takes part by having `run(seed: int, count: int) -> list[Row]` and `COUNT`, how many
cases a whole fault test tries.
"""
