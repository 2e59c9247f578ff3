"""ONNX Runtime on x86 and Arm processors."""
