"""A world in virtual time: cores, links that lose and spoil, all of it replayed from a seed."""
