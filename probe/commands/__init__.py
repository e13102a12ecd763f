"""What each command does. `probe.cli` knows their names and flags, and imports them when they are called."""
