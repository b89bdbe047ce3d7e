"""Slow, obvious implementations that the fast paths are held against."""
