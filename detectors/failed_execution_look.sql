-- The workflows with failures in the window, before rows are deduplicated.
SELECT DISTINCT namespace, engine, workflow
FROM recent_execution
WHERE folded >= {folded_from:UInt64}
    AND status IN ('failed', 'timed_out') AND NOT historical AND workflow != '' AND ended_at >= {epoch:DateTime64(6, 'UTC')}
    AND ended_received_at > {from:DateTime64(6, 'UTC')} AND ended_received_at <= {until:DateTime64(6, 'UTC')}
