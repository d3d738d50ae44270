"""Other ways to start a plugin than as a process of this machine."""
