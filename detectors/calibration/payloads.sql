-- How large the payloads of steps were in the last days: of a sample by time, the earliest and the latest that came live.
-- Each as its p98, p99 and p99.9, between whose first and last the p99 of 300 lies for all but one in twenty.
SELECT
    namespace, engine, workflow, step,
    count() AS n,
    arraySort(groupArraySample({sample:UInt32}, 1)((last_event_at, toFloat64(assumeNotNull(payload_bytes)), historical))) AS seen,
    arraySlice(seen, 1, {compared:UInt32}) AS first_ones,
    arraySlice(arrayFilter(one -> NOT one.3, seen), -{compared:Int32}) AS last_ones,
    length(first_ones) AS earliest_n,
    arrayReduce('quantilesExact(0.98, 0.99, 0.999)', first_ones.2) AS earliest,
    first_ones[-1].1 AS earliest_until,
    length(last_ones) AS latest_n,
    arrayReduce('quantilesExact(0.98, 0.99, 0.999)', last_ones.2) AS latest,
    last_ones[1].1 AS latest_from,
    last_ones[-1].1 AS latest_until,
    arrayCount(one -> one.2 > transform(engine, {engines:Array(String)}, {near:Array(Float64)}, inf), last_ones) AS latest_near
FROM attempt_fold FINAL
WHERE payload_bytes > 0
    AND workflow != ''
    AND last_event_at > {from:DateTime64(6, 'UTC')}
    AND last_event_at <= {until:DateTime64(6, 'UTC')}
GROUP BY namespace, engine, workflow, step
