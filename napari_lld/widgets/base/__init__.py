"""What widgets share: builders, style, lists, places."""
