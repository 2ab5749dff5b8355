"""To see right: how a field is shown, its stains, its sizes. Nothing stored changes; no Qt."""
