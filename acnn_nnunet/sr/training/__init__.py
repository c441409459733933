"""What training on thick slices needs: the unit of simulated stacks, and losses on images."""
