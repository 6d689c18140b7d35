"""Turns counters and resources into limits, bounds and modelled time."""
