"""Metrics, evaluation sets and reports."""
