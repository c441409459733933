"""Ground: safe writes, geometry, volumes, patients and their splits, tables."""
