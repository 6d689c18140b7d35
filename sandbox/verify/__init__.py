"""Decides whether outputs are right: the comparison with the float64 oracle, and the gate that tries out tasks."""
