"""Real pairs: a thick-slice stack and a thin-slice volume of the same patient, on grids that correspond."""
