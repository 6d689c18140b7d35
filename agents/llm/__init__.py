"""Language models behind one protocol: what a Coder and a Judge ask."""
