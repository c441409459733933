"""Reading studies: blinded ratings of reconstructions or segmentations (the paper's Table III), and their scores."""
