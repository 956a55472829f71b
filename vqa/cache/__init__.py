"""Features on disk: immutable HDF5 segments, a folder per candidate."""
