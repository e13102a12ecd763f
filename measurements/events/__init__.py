"""From votes to events, pure: whether access changed, when, where, and how surely."""
