"""Label maps as a prior sees them: channels and probabilities, PCA, known defects."""
