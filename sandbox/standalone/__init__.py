"""The emulator as a tool of its own: one kernel, one workload, everything that happened."""
