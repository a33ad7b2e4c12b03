"""The actions of a user: plain functions behind the events."""
