"""Images, recordings and streams made of them, as arrays."""
