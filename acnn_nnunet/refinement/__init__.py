"""`acnn-nnunet refine`: better label maps after the network."""
