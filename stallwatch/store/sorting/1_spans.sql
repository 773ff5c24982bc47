-- The spans of batches in (after, upto], or a share of them: hex ids, believable times, whose they are. What cannot be believed gets a reason.
INSERT INTO fold_span
SELECT
    received_at, sender,
    multiIf(
        pinned, namespace,
        attributes['stallwatch.namespace'] != '', toLowCardinality(attributes['stallwatch.namespace']),
        JSONExtractString(resource, 'stallwatch.namespace') != '', toLowCardinality(JSONExtractString(resource, 'stallwatch.namespace')),
        namespace),
    batch,
    -- By its end: a span that lasted for days and ended now is news.
    historical OR received_at > toDateTime64(end_at, 6, 'UTC') + INTERVAL 1 DAY,
    lower(hex(trace_id)), lower(hex(span_id)), if(parent_span_id = repeat('\0', 8), '', lower(hex(parent_span_id))),
    name, scope, JSONExtractString(resource, 'service.name'),
    transform(kind, [2, 3, 4, 5], ['server', 'client', 'producer', 'consumer'], 'internal'),
    fromUnixTimestamp64Nano(toInt64(begun_ns), 'UTC'),
    fromUnixTimestamp64Nano(toInt64(ended_ns), 'UTC') AS end_at,
    (ended_ns - begun_ns) / 1e9,
    transform(status_code, [1, 2], ['ok', 'error'], 'unset'),
    status_message, attributes, resource, events, limited,
    multiIf(
        length(trace_id) != 16 OR trace_id = repeat('\0', 16), 'trace_id is not 16 bytes or is zero',
        length(span_id) != 8 OR span_id = repeat('\0', 8), 'span_id is not 8 bytes or is zero',
        length(parent_span_id) NOT IN (0, 8), 'parent_span_id is not 8 bytes',
        start_ns < 946684800000000000, 'start is before 2000',
        intDiv(start_ns, 1000) > toUnixTimestamp64Micro(received_at) + 86400000000, 'start is more than 24 h ahead',
        intDiv(end_ns, 1000) > toUnixTimestamp64Micro(received_at) + 86400000000, 'end is more than 24 h ahead',
        '') AS reason,
    if(reason = '', {{claimed_by}}, '')
FROM
(
    SELECT
        *,
        -- Clamped for the arithmetic only: a span with a time beyond these bounds has a reason and goes to quarantine.
        least(start_ns, 4102444800000000000) AS begun_ns,
        -- A span cannot end before it starts; a clock that says so moved, and the duration is zero.
        least(greatest(end_ns, start_ns), 4102444800000000000) AS ended_ns
    FROM span_landing
    WHERE batch > {after:UInt64} AND batch <= {upto:UInt64}
        AND cityHash64(trace_id, span_id) % {shares:UInt64} = {share:UInt64}
)
