"""What has no counterpart on other systems: handles, command lines, pipes for threads."""
