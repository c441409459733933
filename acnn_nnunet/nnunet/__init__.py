"""Ground: nnU-Net, the host: start-up, registration, plans, settings, labels, cases, folds, models, export."""
