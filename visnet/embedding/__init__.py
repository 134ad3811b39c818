"""From crops to vectors, and which model they are by."""
