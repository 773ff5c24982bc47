-- Attributes whose name says that the value is a secret lose it; all other values are searched for secrets.
CREATE OR REPLACE FUNCTION stallwatch_redact_map AS (attributes) ->
    mapApply(
        (k, v) -> (
            k,
            if(
                match(k, '(?i)(authorization|cookie|secret|passw(or)?d|api[._-]?key|credential|(access|auth|id|refresh|session|task|bearer)[._-]?token$|(^|[._-])token$)'),
                '[redacted]',
                stallwatch_redact_text(v))),
        attributes)
