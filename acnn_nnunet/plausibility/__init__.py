"""`acnn-nnunet plausibility`: which predictions to look at, without ground truth."""
