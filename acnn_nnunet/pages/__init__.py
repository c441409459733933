"""Ground: self-contained HTML pages, pictures and plots."""
