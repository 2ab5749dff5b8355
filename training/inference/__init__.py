"""From pixels to cells: prediction, pseudo-labels, and boxes from the stain alone."""
