"""Scores of one mask, and of all labels of a case, against a reference."""
