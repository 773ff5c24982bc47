SELECT
    detector, severity, status, namespace, engine, workflow, step, executions, count, first_seen, last_seen, fingerprint, title,
    explanation, evidence, next_steps
FROM findings
WHERE if(empty({statuses:Array(String)}), status != 'resolved', has({statuses:Array(String)}, status))
ORDER BY first_seen, fingerprint
LIMIT 10000
