"""What a runtime and a plugin must agree on: launch configuration, registration, addresses, versions."""
