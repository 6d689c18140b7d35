"""What a candidate passes, in order, to become Verified: `stages` is the order."""
