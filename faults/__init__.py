"""Fault tests: hostile and damaged input, kills and long runs, repeatable by seed. `python -m faults` runs
all and prints a table.

A module of this package takes part by having `run(seed: int, count: int) -> list[Row]` and `COUNT`, how many
cases a whole fault test tries, and by standing in `TESTS` of __main__.py.
"""
