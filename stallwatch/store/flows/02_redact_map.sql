-- Attributes whose name says that the value is a secret lose it; all other values are searched for secrets, and what is JSON
-- for members with such names.
CREATE OR REPLACE FUNCTION stallwatch_redact_map AS (attributes) ->
    mapApply(
        (k, v) -> (
            k,
            if(
                match(k, '(?i)(authorization|cookie|secret|passw(or)?d|api[._-]?key|credential|(access|auth|id|refresh|session|task|bearer)[._-]?token$|(^|[._-])token$)'),
                '[redacted]',
                if(
                    startsWith(v, '{') OR startsWith(v, '['),
                    replaceRegexpAll(
                        stallwatch_redact_text(v),
                        '(?i)("[^"]*(?:(?:authorization|cookie|secret|passw(?:or)?d|api[._-]?key|credential)[^"]*|(?:access|auth|id|refresh|session|task|bearer)[._-]?token|[._-]token)"\\s*:\\s*|"token"\\s*:\\s*)(?:"(?:[^"\\\\]|\\\\.)*(?:"|$)|[0-9][^,}\\]]*)',
                        '\\1"[redacted]"'),
                    stallwatch_redact_text(v)))),
        attributes)
