SELECT DISTINCT batch
FROM
(
    SELECT batch FROM touched_execution WHERE batch > {after:UInt64}
    UNION ALL
    SELECT batch FROM span_landing WHERE batch > {after:UInt64}
)
