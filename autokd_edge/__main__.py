"""``python -m autokd_edge`` is the command line, where its script is not on the path."""

from autokd_edge.cli import main

if __name__ == "__main__":
    main()
