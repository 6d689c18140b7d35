"""Everything a candidate must pass: screen, compile, emulate, compare, and the gate that joins them."""
