"""Which (query, positive, negative) crops a model learns from, and which crops test it."""
