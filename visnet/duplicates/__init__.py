"""Double listings: one picture under several products, and what a person decided of each pair."""
