"""Evaluation: how far a method's diffuse layer is from the ground truth, the protocol beside every number.

settings -> datasets (scored_pairs), scored_methods (adapters) -> runner (scoring, score_cache) -> rows
-> summary (statistics) -> summary_tables, paper_tables, caption -> report (tables, worst_and_best, figures).
"""
