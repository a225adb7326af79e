"""honker in frameworks."""
