"""Rows of the files that shops write: one reader of CSV, one of Parquet, and one conversion of what a cell holds.

The table source and the change feed read with these alone, so a file means the same to both.
"""
