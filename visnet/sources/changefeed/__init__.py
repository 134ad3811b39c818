"""The change feed: batches of records that say what a shop added, changed and removed.

`batches` reads the files, `records` what a line of them says, `state` folds them into the catalog's tables, `inbox`
brings them here, and `validators` remembers when each photo was last asked for.
"""
