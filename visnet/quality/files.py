"""The files of the stage: what was found of each photo, and what has learnt to find it."""

TABLE = "photo_quality.lance"
FEATURES, PLANTED = "features.lance", "planted.lance"  # of the shop's photos, and of the planted cases
HEAD = "head.safetensors"
BANDS = "bands.json"  # fault -> from which score on it is bad, and below which it is good
ZOOM, ZOOM_MEASURED = "zoom_filter.safetensors", "zoom_filter.json"
LEFT_OUT = "left_out.json"  # only where bad photos are left out: which these are (visnet.quality.shown_crops)
SINGLE = (HEAD, BANDS, ZOOM, ZOOM_MEASURED, LEFT_OUT)
