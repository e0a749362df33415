"""The command line: mounts the commands of the two domains and imports them only when they are called."""
