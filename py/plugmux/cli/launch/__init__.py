"""What commands that launch plugins have in common: which plugins, and with which settings."""
