"""Many trainings: folds × settings × seeds as independent nnUNetv2_train processes."""
