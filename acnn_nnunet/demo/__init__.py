"""`acnn-nnunet demo`: the whole job on a generated phantom."""
