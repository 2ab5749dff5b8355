"""The networks and where they run: detector, describer, devices, the scale they see cells at."""
