"""One file a family; a family turns a candidate into a student spec."""
