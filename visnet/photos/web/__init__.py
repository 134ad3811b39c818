"""Bytes from the web, asked for by people we do not know: which addresses, how much, how long, how often."""
