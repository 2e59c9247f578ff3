"""One file a kind of teacher; each turns what a user has into a ``Teacher`` that reads images as students do."""
