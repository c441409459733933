"""How good a prediction is: overlap, distances in mm, clinical indices, image quality, paired statistics."""
