"""`acnn-nnunet degrade`: thick-slice stacks simulated from high-resolution volumes."""
