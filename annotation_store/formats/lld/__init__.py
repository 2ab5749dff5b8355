"""The published files of LLD and LeukemiaAttri."""
