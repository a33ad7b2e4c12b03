"""What happens when a person acts: plain functions behind the events."""
