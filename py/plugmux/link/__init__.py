"""One connection between two peers, on which both serve and both call."""
