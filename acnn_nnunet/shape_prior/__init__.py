"""The T-L network, its training stages, and the prior term it becomes in a segmentation loss."""
