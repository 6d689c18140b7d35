"""What models are told: Jinja files beside this one, filled from typed contexts."""
