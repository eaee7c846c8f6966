"""Dataset cards to clean rows, and quarantined rows with reasons."""
