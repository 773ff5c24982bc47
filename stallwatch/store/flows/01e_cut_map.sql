-- No attribute longer than so many bytes. Only for what is redacted already, as stallwatch_cut_text.
CREATE OR REPLACE FUNCTION stallwatch_cut_map AS (attributes) -> mapApply((k, v) -> (k, stallwatch_cut_text(v)), attributes)
