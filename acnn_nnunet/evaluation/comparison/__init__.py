"""`acnn-nnunet compare`: paired statistics of arms evaluated on the same cases."""
