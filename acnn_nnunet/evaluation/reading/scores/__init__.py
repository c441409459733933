"""Scores of a study: mean opinion scores, paired tests, agreement of readers."""
