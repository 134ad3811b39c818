"""What a photo shows, down the taxonomy: models of category paths, their decoding, and how sure an answer is."""
