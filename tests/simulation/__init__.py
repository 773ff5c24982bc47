"""The whole of Stallwatch on a manual clock, over seeded worlds with seeded faults."""
