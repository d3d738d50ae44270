"""What `make macos-like` leaves out: a test, or all of a file, and why. It runs all else of its folders."""

LEFT_OUT: dict[str, str] = {}
