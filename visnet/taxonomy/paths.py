"""A category's path as one text, as tables have it, and back.

Levels are joined by "/", as the folders of a catalog are; what a level's own name has of that is written %2F.
"""

from collections.abc import Sequence


def joined(levels: Sequence[str]) -> str:
    """Return the text of a path, from its first level to its leaf; `levels_of` gives these back."""
    return "/".join(level.replace("%", "%25").replace("/", "%2F") for level in levels)


def levels_of(path: str) -> list[str]:
    """Return the levels of a path's text."""
    return [level.replace("%2F", "/").replace("%25", "%") for level in path.split("/")]


def level_below(path: str, above: str) -> str:
    """Return a path's text, cut one level below another path, or after its first level where that is "".

    It is "" where the path is not below the other.
    """
    if above and not path.startswith(f"{above}/"):
        return ""
    end = path.find("/", len(above) + 1 if above else 0)
    return path if end < 0 else path[:end]
