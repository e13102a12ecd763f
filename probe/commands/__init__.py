"""What each command does; `probe.cli` and `probe.cli_groups` know names and flags, and import it when it is called."""
