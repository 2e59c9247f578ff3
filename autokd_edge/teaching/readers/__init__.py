"""One file a kind of data set; each turns what lies on the disk into a ``DataSource``."""
