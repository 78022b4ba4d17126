"""Keys, sealing and the link grammar: bytes in, bytes out."""
