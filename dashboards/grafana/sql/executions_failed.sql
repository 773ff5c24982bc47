SELECT count() AS failed FROM executions WHERE status IN ('failed', 'timed_out', 'terminated') AND $__timeFilter(ended_at) AND $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
    AND $__conditionalAll(workflow IN (${workflow:singlequote}), $workflow)
