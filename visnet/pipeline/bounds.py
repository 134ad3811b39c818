"""Between which bounds numbers lie that several stages and the zoo share."""

SIDES_PX = (64, 2048)
EPOCHS_MAX = 100_000
BATCH_MAX = 100_000
LR_MAX = 1e6
RANKS_MAX = 2048  # neighbours that one search gives
