"""Accepted kernels and the small library that loads them."""
