"""A study: one page to rate in, and the key that says what was rated."""
