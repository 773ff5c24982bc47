SELECT DISTINCT batch
FROM
(
    SELECT batch FROM touched_execution WHERE batch > {after:UInt64}
    UNION ALL
    SELECT batch FROM touched_trace WHERE batch > {after:UInt64}
    UNION ALL
    SELECT batch FROM claimed_span WHERE batch > {after:UInt64}
)
