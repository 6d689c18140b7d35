"""Turns problems of other collections into task files."""
