"""The system's part on Windows: handles, jobs, named pipes, access control lists."""
