"""Label maps that break anatomical rules, and the least change that mends them."""
