"""Lance tables and folders: keyed and atomic writes, locks, links, repair, checksums."""
