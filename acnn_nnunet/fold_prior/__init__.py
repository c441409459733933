"""A fold's prior in use: what it must be, finding and loading it, label maps and images as codes."""
