"""Changes of plugins while the runtime works: another process, another configuration, other files."""
