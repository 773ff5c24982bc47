-- Whether the sender's namespace holds whatever its spans say of theirs.
ALTER TABLE otlp_inbox ADD COLUMN pinned Bool
