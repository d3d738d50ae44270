"""How a call finds its plugin, and when it is made again."""
