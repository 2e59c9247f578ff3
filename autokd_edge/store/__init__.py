"""Durable state: the journal of events and the artifacts."""
