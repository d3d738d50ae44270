"""The processes of launched plugins."""
