"""How like the cells that a model learnt another cell is."""
