"""Makes measurements; needs a vantage."""
