"""The checks, by group: each module holds one."""
