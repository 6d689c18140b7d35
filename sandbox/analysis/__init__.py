"""What PTX says of itself without being run."""
