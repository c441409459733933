"""Ground: one thing done to every case of a folder, in parallel, resumable, with an outcome for each."""
