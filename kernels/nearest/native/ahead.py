"""Compile the scan for machines that have no compiler: `python -m kernels.nearest.native.ahead FOLDER`.

Whoever runs there names the folder in NEAREST_CACHE. Every variant for this kind of machine is made, since the
processor that will run one of them is another.
"""

import platform
import sys
from pathlib import Path

from kernels.nearest.native.build import built
from kernels.nearest.native.variants import VARIANTS, X86, Variant


def main() -> None:
    """Compile into the folder that the command line names, and print each library."""
    for variant in suitable():
        print(built(variant, Path(sys.argv[1])))


def suitable() -> list[Variant]:
    """List the variants that some processor of this kind runs."""
    x86 = platform.machine().lower() in X86
    return [variant for variant in VARIANTS if variant.name == "portable" or x86 != (variant.name == "neon")]


if __name__ == "__main__":
    main()
