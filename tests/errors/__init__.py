"""Errors that a caller can tell apart."""
