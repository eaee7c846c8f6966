"""Estimators: give any network fit and predict, the scikit-learn way."""
