-- For how long groups were silent when they were called dead and then went on, the longest first.
SELECT
    JSONExtractString(evidence, 'group') AS dimension, namespace, engine,
    if(dimension = 'step', toString(f.workflow), '') AS place,
    JSONExtractString(evidence, dimension) AS value,
    arrayReverseSort(groupArray(JSONExtractFloat(evidence, 'silent_s'))) AS silences_s
FROM finding_log AS f FINAL
WHERE detector = 'dead_queue'
    AND status = 'resolved'
    AND JSONExtractString(evidence, 'state') = 'stopped'
    AND last_seen > {from:DateTime64(6, 'UTC')}
    AND last_seen <= {until:DateTime64(6, 'UTC')}
GROUP BY dimension, namespace, engine, place, value
HAVING count() >= {recurrent:UInt64}
