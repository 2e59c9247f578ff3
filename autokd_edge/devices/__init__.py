"""The machines that engines run on: links, descriptors, fingerprints, the measuring protocol."""
