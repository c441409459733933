"""Thick slices: how they come about, and networks that see through them."""
