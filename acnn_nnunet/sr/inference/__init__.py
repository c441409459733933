"""`acnn-nnunet predict-hr`: reconstruction from thick-slice stacks."""
