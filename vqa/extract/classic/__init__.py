"""Measures of full-resolution frames, without weights: natural scene statistics, spatial and temporal information."""
