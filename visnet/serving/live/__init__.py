"""Changes of the catalog that answer at once, and reach the line as batches of its change feed."""
