"""Data sets, teachers and the teaching of students."""
