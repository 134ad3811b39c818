"""How work is split: by where, and not by who is first, so that the same is done every time."""

Range = tuple[int, int]


def ranges(count: int, parts: int, whole: int = 1) -> list[Range]:
    """Split `count` into at most so many ranges of like size, each a multiple of `whole` but for the last."""
    step = max(1, -(-count // (parts * whole)) * whole)
    return [(start, min(start + step, count)) for start in range(0, count, step)]
