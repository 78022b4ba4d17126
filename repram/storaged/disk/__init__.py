"""A tier on disk: a log of bodies, each under a key of its own, and the keys of the keys in a ring."""
