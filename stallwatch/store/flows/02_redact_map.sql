-- Attributes whose name says that the value is a secret lose it; all other values are searched for secrets, and what is JSON
-- for members with such names. Those that are fields of a step event are left as they are.
CREATE OR REPLACE FUNCTION stallwatch_redact_map AS (attributes) ->
    mapApply(
        (k, v) -> (
            k,
            multiIf(
                stallwatch_is_field(k),
                v,
                match(k, '(?i)(authorization|cookie|secret|passw(or)?d|api[._-]?key|credential|(access|auth|id|refresh|session|task|bearer)[._-]?token$|(^|[._-])token$)'),
                '[redacted]',
                startsWith(v, '{') OR startsWith(v, '['),
                replaceRegexpAll(
                    stallwatch_redact_text(v),
                    '(?i)("[^"]*(?:(?:authorization|cookie|secret|passw(?:or)?d|api[._-]?key|credential)[^"]*|(?:access|auth|id|refresh|session|task|bearer)[._-]?token|[._-]token)"\\s*:\\s*|"token"\\s*:\\s*)(?:"(?:[^"\\\\]|\\\\.)*(?:"|$)|[0-9][^,}\\]]*)',
                    '\\1"[redacted]"'),
                stallwatch_redact_text(v))),
        attributes)
