"""Contact sheets: what a person looks at."""
