SELECT count() AS open FROM incidents WHERE closed_at IS NULL
