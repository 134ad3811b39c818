"""How well a model finds, beside what costs nothing, and whether it may follow another."""
