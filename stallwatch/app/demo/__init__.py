"""A small shop with known faults, played live over the real roads: what Stallwatch is for, in two minutes."""
