"""What each PTX instruction means: a table of rows, and the readable executor that runs by it."""
