"""Anatomically constrained nnU-Net: a learnt shape prior for nnU-Net v2 (Oktay et al., IEEE TMI 2017).

Kept free of imports: the start-up file imports this package in every interpreter of the environment.
"""

__version__ = "0.1.0"
