"""Distances between codes, and the prior as a term of a segmentation loss."""
