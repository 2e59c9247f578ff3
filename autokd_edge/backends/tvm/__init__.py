"""TVM: engines that are programs of their own, for Arm and x86 processors."""
