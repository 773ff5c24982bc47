SELECT uniqExact(execution_key) AS n
FROM touched_execution
WHERE batch > {after:UInt64} AND batch <= {upto:UInt64}
