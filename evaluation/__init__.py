"""Evaluation: how far a method's diffuse layer is from the truth, the protocol beside every number.

datasets -> runner (methods, metrics, regions, detection) -> rows -> summary (statistics) -> tables, sheets.
"""
