-- The engine whose SDK wrote a span, by its instrumentation scope or by attributes that only that engine sets; empty: none.
-- A trace that holds such a span is that engine's and yields no generic events. To add an engine's spans, name it here and
-- write its convention beside this file.
CREATE OR REPLACE FUNCTION stallwatch_engine_of_span AS (scope, attributes) ->
    multiIf(
        match(scope, '^(temporalio\\.contrib\\.opentelemetry|temporal-sdk-go$|@temporalio/|Temporalio\\.Extensions\\.OpenTelemetry|io\\.temporal)'), 'temporal',
        match(scope, '^(durabletask|Microsoft\\.DurableTask)'), 'durable',
        scope = 'dbos-tracer', 'dbos',
        scope = 'prefect', 'prefect',
        attributes['airflow.dag_id'] != '', 'airflow',
        attributes['cicd.pipeline.run.id'] != '' OR attributes['cicd.pipeline.task.name'] != '', 'cicd',
        '')
