"""Features -> score."""
