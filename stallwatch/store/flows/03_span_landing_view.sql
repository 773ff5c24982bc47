-- Raw OTLP to flat spans: text attributes within limits and without secrets. What a resource says is worked out once for all its
-- spans, before they are taken apart; everything that can wait for the fold does.
CREATE MATERIALIZED VIEW span_landing_view TO span_landing AS
SELECT
    fromUnixTimestamp64Micro(toInt64(received_us), 'UTC') AS received_at,
    sender, namespace, pinned, batch, historical,
    span.trace_id AS trace_id, span.span_id AS span_id, span.parent_span_id AS parent_span_id, span.name AS name, scope, span.kind AS kind,
    span.start_time_unix_nano AS start_ns, span.end_time_unix_nano AS end_ns,
    span.status.code AS status_code,
    -- Hardly any span needs either; an empty map in place of the others costs nothing.
    if(span.status.message = '', '', stallwatch_redact_text(span.status.message)) AS status_message,
    if(is_beyond OR may_hold_secrets, stallwatch_cut_map(stallwatch_redact_map(stallwatch_first_of_map(if(is_beyond OR may_hold_secrets, raw, CAST(map(), 'Map(String, String)'))))), raw) AS attributes,
    resource,
    arrayMap(
        e -> (
            fromUnixTimestamp64Nano(toInt64(least(e.time_unix_nano, 4102444800000000000)), 'UTC'),
            e.name,
            stallwatch_redact_map(CAST((e.attributes.key, arrayMap(v -> stallwatch_attribute_text(v), e.attributes.value)), 'Map(String, String)'))),
        span.events) AS events,
    is_beyond AS limited
FROM
(
    SELECT
        received_us, sender, namespace, pinned, batch, historical, resource, scope, span,
        CAST((span.attributes.key, arrayMap(v -> stallwatch_attribute_text(v), span.attributes.value)), 'Map(String, String)') AS raw,
        stallwatch_is_beyond_limits(raw) AS is_beyond,
        stallwatch_may_hold_secrets(raw) AS may_hold_secrets
    FROM
    (
        SELECT
            received_us, sender, namespace, pinned, batch, historical, resource,
            toLowCardinality(scope_spans.scope.name) AS scope,
            arrayJoin(scope_spans.spans) AS span
        FROM
        (
            SELECT
                received_us, sender, namespace, pinned, batch, historical,
                toLowCardinality(toJSONString(stallwatch_redact_map(CAST((resource_spans.resource.attributes.key, arrayMap(v -> stallwatch_attribute_text(v), resource_spans.resource.attributes.value)), 'Map(String, String)')))) AS resource,
                arrayJoin(resource_spans.scope_spans) AS scope_spans
            FROM
            (
                SELECT
                    received_at AS received_us, toLowCardinality(sender) AS sender, toLowCardinality(namespace) AS namespace, pinned, batch, historical,
                    arrayJoin(request.resource_spans) AS resource_spans
                FROM otlp_inbox
            )
        )
    )
)
