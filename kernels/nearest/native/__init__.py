"""The scan on a CPU, compiled: bounds, thresholds, survivors and their exact scores in one pass over the gallery."""
