"""Clinical indices per patient, and how well they agree with those of the reference."""
