"""How well a model finds, beside what costs nothing; what its distances mean; whether it may follow another."""
