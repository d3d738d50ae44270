"""What the runtime shows to people who watch: its calls, its processes, its links. Loaded when somebody does."""
