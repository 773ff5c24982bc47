SELECT severity, detector, title, explanation, arrayStringConcat(next_steps, '; ') AS what_to_do, count, first_seen, last_seen, workflow, step, namespace, engine
FROM findings
WHERE status = 'firing' AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
    AND $__conditionalAll(workflow IN (${workflow:singlequote}), $workflow)
ORDER BY indexOf(['critical', 'warning', 'info'], severity), first_seen
LIMIT 200
