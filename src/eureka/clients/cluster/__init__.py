"""The cluster that the platform runs in: Jobs of workers for large batches, and what runs where.

Everything here speaks to a Kubernetes API server by the `kubernetes` client, imported where it is used.
"""
