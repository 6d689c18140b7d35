"""From what the emulator counted in the blocks that ran to what a launch did."""
