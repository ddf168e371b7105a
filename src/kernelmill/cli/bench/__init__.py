"""``kernelmill bench``: one file per command."""
