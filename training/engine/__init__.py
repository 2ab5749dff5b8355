"""Learning: detector, describer, losses, data, augmentation and the loop. Its modules load torch."""
