"""Lance tables and folders: keyed writes, locks, links, repair, checksums."""
