"""Evaluation: how far a method's diffuse layer is from the ground truth, the protocol beside every number.

settings -> datasets, methods -> runner (scoring: metrics) -> summary (statistics) -> tables, paper_tables
-> report (figures).
"""
