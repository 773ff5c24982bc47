SELECT DISTINCT workflow FROM executions
WHERE $__conditionalAll(namespace IN (${namespace:singlequote}), $namespace) AND $__conditionalAll(engine IN (${engine:singlequote}), $engine)
ORDER BY workflow
