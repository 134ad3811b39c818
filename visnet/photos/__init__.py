"""From bytes, of a disk or the web, to upright RGB and to crops."""
