"""What every folder shares: records, the kernel file, and the protocols between folders."""
