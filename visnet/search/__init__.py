"""Exact search over vectors, and the lists that are kept of it."""
