"""The shape prior on tensors: label space, grids, networks, losses, training, the prior file."""
