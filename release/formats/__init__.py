"""Readers of what compilers write: as much of each format as the checks need."""
