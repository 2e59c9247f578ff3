"""Edge-deployment compiler: hardware-aware search for distilled students, measured on the device."""
