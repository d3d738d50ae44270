"""What plugins say, kept and passed on."""
