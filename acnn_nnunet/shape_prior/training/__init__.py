"""Training of a T-L network: stages, corrupted inputs, the linear start, the optimiser."""
