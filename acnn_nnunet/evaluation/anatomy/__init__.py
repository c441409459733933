"""Anatomical rules that a label map has to keep."""
