"""How a file becomes sealed chunks and a manifest, and how it comes back."""
