"""What the API answers, as its documentation and its client have it."""
