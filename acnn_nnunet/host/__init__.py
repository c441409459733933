"""What we know of nnU-Net: registration, settings in plans, where a prior lies, preprocessed cases, export."""
