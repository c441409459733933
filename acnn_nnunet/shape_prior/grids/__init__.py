"""The grids on which a prior looks at label maps."""
