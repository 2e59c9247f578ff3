"""TensorRT-RTX: engines for NVIDIA RTX GPUs, built ahead of time on a machine without one."""
