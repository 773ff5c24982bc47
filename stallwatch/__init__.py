"""Stallwatch: watches workflows, notices when one stalls, and says what to change."""
