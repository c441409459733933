"""`acnn-nnunet latent-report`: what a code's numbers stand for."""
