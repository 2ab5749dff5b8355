"""Write files that survive a power cut, find them again, and read those of strangers safely."""
