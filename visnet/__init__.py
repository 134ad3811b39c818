"""Visual search for a shop's catalog: photos in, the most similar products out."""

__version__ = "0.1.0"
