"""`acnn-nnunet codes`: codes of a folder of label maps or images."""
