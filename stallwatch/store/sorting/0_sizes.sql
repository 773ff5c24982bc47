SELECT batch, count() AS spans
FROM span_landing
WHERE batch > {after:UInt64} AND batch <= {upto:UInt64}
GROUP BY batch
ORDER BY batch
