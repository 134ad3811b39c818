"""Where in a photo the product is: known boxes, photos made with known boxes, and what learns to propose them."""
