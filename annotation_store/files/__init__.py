"""Write files that survive a power cut, find them again, and read untrusted files safely."""
