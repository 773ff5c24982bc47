SELECT id, cause, findings, executions, opened_at, closed_at, severity, dimension, value, merged_into, split_from
FROM incidents
WHERE opened_at < {until:DateTime64(6, 'UTC')} AND (closed_at IS NULL OR closed_at >= {since:DateTime64(6, 'UTC')})
    AND ({status:String} = '' OR ({status:String} = 'open') = (closed_at IS NULL))
ORDER BY opened_at DESC, id
LIMIT {limit:UInt32}
