-- Raw OTLP to flat spans: text attributes, believable times, no secrets. What cannot be believed gets a reason.
-- What a resource and a scope say is worked out once for all their spans, before they are taken apart.
CREATE MATERIALIZED VIEW span_flow_view TO span_flow AS
SELECT
    fromUnixTimestamp64Micro(toInt64(received_us), 'UTC') AS received_at,
    sender,
    multiIf(
        pinned, sent_namespace,
        attributes['stallwatch.namespace'] != '', toLowCardinality(attributes['stallwatch.namespace']),
        resource_namespace != '', resource_namespace,
        sent_namespace) AS namespace,
    batch,
    -- By its end: a span that lasted for days and ended now is news.
    historical OR received_us > intDiv(end_ns, 1000) + 86400000000 AS historical,
    lower(hex(trace)) AS trace_id,
    lower(hex(own)) AS span_id,
    if(parent = repeat('\0', 8), '', lower(hex(parent))) AS parent_span_id,
    name,
    scope,
    service,
    transform(kind_number, [2, 3, 4, 5], ['server', 'client', 'producer', 'consumer'], 'internal') AS kind,
    fromUnixTimestamp64Nano(toInt64(start_ns), 'UTC') AS start_at,
    fromUnixTimestamp64Nano(toInt64(end_ns), 'UTC') AS end_at,
    (end_ns - start_ns) / 1e9 AS duration_s,
    transform(status_code, [1, 2], ['ok', 'error'], 'unset') AS status,
    stallwatch_redact_text(message) AS status_message,
    stallwatch_redact_map(attributes) AS attributes,
    resource_text,
    arrayMap(
        e -> (
            fromUnixTimestamp64Nano(toInt64(least(e.time_unix_nano, 4102444800000000000)), 'UTC'),
            e.name,
            stallwatch_redact_map(CAST((e.attributes.key, arrayMap(v -> stallwatch_attribute_text(v), e.attributes.value)), 'Map(String, String)'))),
        said) AS events,
    multiIf(
        length(trace) != 16 OR trace = repeat('\0', 16), 'trace_id is not 16 bytes or is zero',
        length(own) != 8 OR own = repeat('\0', 8), 'span_id is not 8 bytes or is zero',
        length(parent) NOT IN (0, 8), 'parent_span_id is not 8 bytes',
        started_ns < 946684800000000000, 'start is before 2000',
        intDiv(started_ns, 1000) > received_us + 86400000000, 'start is more than 24 h ahead',
        intDiv(ended_ns, 1000) > received_us + 86400000000, 'end is more than 24 h ahead',
        '') AS reason
FROM
(
    SELECT
        received_us, sender, sent_namespace, pinned, batch, historical, resource_text, resource_namespace, service, scope,
        span.trace_id AS trace, span.span_id AS own, span.parent_span_id AS parent, span.name AS name, span.kind AS kind_number,
        span.start_time_unix_nano AS started_ns, span.end_time_unix_nano AS ended_ns,
        span.status.code AS status_code, span.status.message AS message, span.events AS said,
        -- Clamped for the arithmetic only: a span with a time beyond these bounds has a reason and goes to quarantine.
        least(started_ns, 4102444800000000000) AS start_ns,
        -- A span cannot end before it starts; a clock that says so moved, and the duration is zero.
        least(greatest(ended_ns, started_ns), 4102444800000000000) AS end_ns,
        CAST((span.attributes.key, arrayMap(v -> stallwatch_attribute_text(v), span.attributes.value)), 'Map(String, String)') AS attributes
    FROM
    (
        SELECT
            received_us, sender, sent_namespace, pinned, batch, historical, resource_text, resource_namespace, service,
            toLowCardinality(scope_spans.scope.name) AS scope,
            arrayJoin(scope_spans.spans) AS span
        FROM
        (
            SELECT
                received_us, sender, sent_namespace, pinned, batch, historical,
                toLowCardinality(toJSONString(resource)) AS resource_text,
                toLowCardinality(resource['stallwatch.namespace']) AS resource_namespace,
                toLowCardinality(resource['service.name']) AS service,
                arrayJoin(scopes) AS scope_spans
            FROM
            (
                SELECT
                    received_us, sender, sent_namespace, pinned, batch, historical, resource_spans.scope_spans AS scopes,
                    stallwatch_redact_map(CAST((resource_spans.resource.attributes.key, arrayMap(v -> stallwatch_attribute_text(v), resource_spans.resource.attributes.value)), 'Map(String, String)')) AS resource
                FROM
                (
                    SELECT
                        received_at AS received_us, toLowCardinality(sender) AS sender, toLowCardinality(namespace) AS sent_namespace, pinned, batch, historical,
                        arrayJoin(request.resource_spans) AS resource_spans
                    FROM otlp_inbox
                )
            )
        )
    )
)
