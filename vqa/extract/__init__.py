"""Video file -> frames -> features."""
