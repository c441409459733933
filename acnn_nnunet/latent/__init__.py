"""What the code knows: codes of cases, the shapes that they stand for, classification."""
