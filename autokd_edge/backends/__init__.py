"""One folder a runtime: quantize.py, builder.py, board.py."""
