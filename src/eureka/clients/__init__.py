"""Clients of servers; no torch."""
