SELECT count() AS n, max(batch) AS upto
FROM dirty_window
WHERE batch > {after:UInt64}
