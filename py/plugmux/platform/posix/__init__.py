"""The platform on Linux, macOS and other systems of the Unix family."""
