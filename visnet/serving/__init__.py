"""What is published, and answers from it."""
