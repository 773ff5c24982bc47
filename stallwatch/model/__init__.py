"""The words of the product as types: events, findings, ticks, durations. Imports nothing of Stallwatch but errors."""
