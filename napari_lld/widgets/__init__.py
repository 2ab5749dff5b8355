"""Widgets of the dock and of windows beside it; they bind to the session and keep nothing."""
