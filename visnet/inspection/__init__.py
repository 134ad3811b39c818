"""What a shop has: a folder, a table or an address looked at, and the parameters that suit it."""
