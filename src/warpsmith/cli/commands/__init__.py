"""One module a command. Each declares its options; what is heavy is imported when the command runs."""
