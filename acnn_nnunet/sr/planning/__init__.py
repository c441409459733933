"""`acnn-nnunet plan-hr`: LR-in/HR-out configurations."""
