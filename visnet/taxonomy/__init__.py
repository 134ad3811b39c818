"""Categories as paths down a tree: what a shop sells, from the widest word to the narrowest."""
