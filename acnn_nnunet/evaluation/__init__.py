"""How good a prediction is: overlap, distances in mm, anatomy, clinical indices, image quality, paired statistics."""
