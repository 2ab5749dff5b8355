"""Work beside the thread of the window: in threads, and in the worker process."""
