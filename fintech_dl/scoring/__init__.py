"""Batch scoring: every row is scored or quarantined, never lost."""
