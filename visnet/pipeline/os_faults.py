"""What the operating system refuses, in one line: the path, its reason, and what to do about it."""

import errno
import os
import re

from visnet.pipeline.reports import DATA

STAYS = "what was there before still is"
_NO_ROOM = f"make room and run it again: {STAYS}"
_RIGHTS = "change its owner or rights (chown, chmod), or run this as the user that it belongs to"
CURES = {
    errno.ENOSPC: _NO_ROOM,
    errno.EFBIG: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: "mount it for writing, or work in another folder",
    errno.ENOENT: "create it, or name another",
    errno.ENOTDIR: "a part of the path is a file; name another",
    errno.EISDIR: "name a file",
    errno.EEXIST: "remove it, or name another",
    errno.ENOTEMPTY: "remove what is in it",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.ELOOP: "its symbolic links lead round in a circle; remove one",
    errno.EMFILE: "raise the limit of open files: ulimit -n 4096",
    errno.ENFILE: "this machine has too many open files; end other programs",
    errno.EIO: "the disk or network share failed; check it, then run it again",
    errno.ESTALE: "the network share was remounted; enter the folder anew and run it again",
    errno.ETXTBSY: "another program holds it; end that, then run it again",
    errno.EBUSY: "another program holds it; end that, then run it again",
}
_PATHS = (re.compile(r'at path "([^"]+)"'), re.compile(r"(?:file|path|directory) (/[^:]+):"))  # as Lance writes them


def explained(error: Exception) -> str | None:
    """Return one line on an error of the operating system or of a damaged table, None of any other error.

    Lance and Arrow give the number in their text only, and Lance the path, too.
    """
    text = str(error)
    found = re.search(r"os error (\d+)|\[errno (\d+)\]", text, re.IGNORECASE)
    number = (isinstance(error, OSError) and error.errno) or (int(found[1] or found[2]) if found else 0)
    named = next((match[1] for pattern in _PATHS if (match := pattern.search(text))), None)
    given = getattr(error, "filename", None)
    where = (os.fsdecode(given) if isinstance(given, str | bytes) else named) or f"the disk of {DATA.absolute()}"
    if not number and "LanceError" in text:
        return f"a table below {DATA.absolute()} is damaged ({text.partition(', /')[0]}); see `python -m visnet verify`"
    if not number:
        return None
    reason = os.strerror(number)
    cure = CURES.get(number)
    return f"{where}: {reason}" + (f"; {cure}" if cure else "")
