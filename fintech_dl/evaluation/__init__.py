"""Honest evidence: splits, metrics, intervals, tests, baselines, report."""
