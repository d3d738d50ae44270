"""`plugmux new`: a whole plugin project, in Python, Go or TypeScript, from templates."""
