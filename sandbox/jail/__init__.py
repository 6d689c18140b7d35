"""Runs what reads a candidate's text in processes of its own, behind limits that the operating system holds."""
