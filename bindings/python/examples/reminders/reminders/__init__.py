"""A small self-hosted service for reminders. What it knows is in one SQLite file; the README says how to run it."""
