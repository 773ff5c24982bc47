SELECT count() AS n, max(folded_at) AS upto
FROM dirty_window
WHERE folded_at > {after:DateTime64(6, 'UTC')}
