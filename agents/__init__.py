"""Coder, Judge, search strategies and the loop that joins them."""
