"""The state and the actions of the window, without Qt."""
