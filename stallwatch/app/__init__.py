"""The composition root: rooms are put together, scheduled and served here."""
