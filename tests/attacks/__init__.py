"""Attacks on a runtime, as programs that anybody can run: `make attacks`. (README.md tells how one is written.)"""
