"""Free sample clips with labels measured on the spot."""
