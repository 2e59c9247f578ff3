"""Families of students, their lowerings to torch and ONNX, and their exact costs."""
