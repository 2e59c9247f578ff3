"""Readings predicted from recorded ones, where there is no board: nothing here was measured."""
