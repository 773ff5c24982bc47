-- Raw OTLP to flat spans: hex ids, text attributes, believable times, no secrets. What cannot be believed gets a reason.
CREATE MATERIALIZED VIEW span_flow_view TO span_flow AS
SELECT
    fromUnixTimestamp64Micro(toInt64(received_us), 'UTC') AS received_at,
    sender,
    if(attributes['stallwatch.namespace'] != '', attributes['stallwatch.namespace'], if(resource['stallwatch.namespace'] != '', resource['stallwatch.namespace'], sent_namespace)) AS namespace,
    batch,
    -- By its end: a span that lasted for days and ended now is news.
    historical OR received_us > intDiv(end_ns, 1000) + 86400000000 AS historical,
    lower(hex(span.trace_id)) AS trace_id,
    lower(hex(span.span_id)) AS span_id,
    if(span.parent_span_id = repeat('\0', 8), '', lower(hex(span.parent_span_id))) AS parent_span_id,
    span.name AS name,
    scope,
    resource['service.name'] AS service,
    transform(span.kind, [2, 3, 4, 5], ['server', 'client', 'producer', 'consumer'], 'internal') AS kind,
    fromUnixTimestamp64Nano(toInt64(start_ns), 'UTC') AS start_at,
    fromUnixTimestamp64Nano(toInt64(end_ns), 'UTC') AS end_at,
    (end_ns - start_ns) / 1e9 AS duration_s,
    transform(span.status.code, [1, 2], ['ok', 'error'], 'unset') AS status,
    stallwatch_redact_text(span.status.message) AS status_message,
    attributes,
    resource,
    arrayMap(
        e -> (
            fromUnixTimestamp64Nano(toInt64(least(e.time_unix_nano, 4102444800000000000)), 'UTC'),
            e.name,
            stallwatch_redact_map(CAST((e.attributes.key, arrayMap(v -> multiIf(v.value = 'array_value', toJSONString(arrayMap(i -> multiIf(i.value = 'string_value', i.string_value, i.value = 'bool_value', if(i.bool_value, 'true', 'false'), i.value = 'int_value', toString(i.int_value), i.value = 'double_value', toString(i.double_value), ''), v.array_value.values)), v.value = 'bytes_value', base64Encode(v.bytes_value), multiIf(v.value = 'string_value', v.string_value, v.value = 'bool_value', if(v.bool_value, 'true', 'false'), v.value = 'int_value', toString(v.int_value), v.value = 'double_value', toString(v.double_value), '')), e.attributes.value)), 'Map(String, String)'))),
        span.events) AS events,
    multiIf(
        length(span.trace_id) != 16 OR span.trace_id = repeat('\0', 16), 'trace_id is not 16 bytes or is zero',
        length(span.span_id) != 8 OR span.span_id = repeat('\0', 8), 'span_id is not 8 bytes or is zero',
        length(span.parent_span_id) NOT IN (0, 8), 'parent_span_id is not 8 bytes',
        span.start_time_unix_nano < 946684800000000000, 'start is before 2000',
        intDiv(span.start_time_unix_nano, 1000) > received_us + 86400000000, 'start is more than 24 h ahead',
        intDiv(span.end_time_unix_nano, 1000) > received_us + 86400000000, 'end is more than 24 h ahead',
        '') AS reason
FROM
(
    SELECT
        received_us, sender, sent_namespace, batch, historical, resource, scope, span,
        -- Clamped for the arithmetic only: a span with a time beyond these bounds has a reason and goes to quarantine.
        least(span.start_time_unix_nano, 4102444800000000000) AS start_ns,
        -- A span cannot end before it starts; a clock that says so moved, and the duration is zero.
        least(greatest(span.end_time_unix_nano, span.start_time_unix_nano), 4102444800000000000) AS end_ns,
        stallwatch_redact_map(CAST((span.attributes.key, arrayMap(v -> multiIf(v.value = 'array_value', toJSONString(arrayMap(i -> multiIf(i.value = 'string_value', i.string_value, i.value = 'bool_value', if(i.bool_value, 'true', 'false'), i.value = 'int_value', toString(i.int_value), i.value = 'double_value', toString(i.double_value), ''), v.array_value.values)), v.value = 'bytes_value', base64Encode(v.bytes_value), multiIf(v.value = 'string_value', v.string_value, v.value = 'bool_value', if(v.bool_value, 'true', 'false'), v.value = 'int_value', toString(v.int_value), v.value = 'double_value', toString(v.double_value), '')), span.attributes.value)), 'Map(LowCardinality(String), String)')) AS attributes
    FROM
    (
        SELECT received_us, sender, sent_namespace, batch, historical, resource, scope_spans.scope.name AS scope, arrayJoin(scope_spans.spans) AS span
        FROM
        (
            SELECT
                received_us, sender, sent_namespace, batch, historical,
                stallwatch_redact_map(CAST((resource_spans.resource.attributes.key, arrayMap(v -> multiIf(v.value = 'array_value', toJSONString(arrayMap(i -> multiIf(i.value = 'string_value', i.string_value, i.value = 'bool_value', if(i.bool_value, 'true', 'false'), i.value = 'int_value', toString(i.int_value), i.value = 'double_value', toString(i.double_value), ''), v.array_value.values)), v.value = 'bytes_value', base64Encode(v.bytes_value), multiIf(v.value = 'string_value', v.string_value, v.value = 'bool_value', if(v.bool_value, 'true', 'false'), v.value = 'int_value', toString(v.int_value), v.value = 'double_value', toString(v.double_value), '')), resource_spans.resource.attributes.value)), 'Map(LowCardinality(String), String)')) AS resource,
                arrayJoin(resource_spans.scope_spans) AS scope_spans
            FROM
            (
                SELECT received_at AS received_us, sender, namespace AS sent_namespace, batch, historical, arrayJoin(request.resource_spans) AS resource_spans
                FROM otlp_inbox
            )
        )
    )
)
