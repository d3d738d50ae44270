"""What the command line shows people on a terminal, and nobody else."""
