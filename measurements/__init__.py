"""What was measured and what it means. Works without a vantage; never imports `probe`."""
