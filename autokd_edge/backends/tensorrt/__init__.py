"""TensorRT on Jetson boards, through the trtexec that JetPack ships."""
