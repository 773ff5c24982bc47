"""Synthetic workflows: seeded histories, scenario files, and what they expect to fire."""
