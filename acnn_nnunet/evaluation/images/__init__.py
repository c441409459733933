"""`acnn-nnunet evaluate-sr`: reconstructed images against their references."""
