-- At most so many bytes. Only for what is redacted already: the beginning of a secret that lies across the cut would not be known
-- for one.
CREATE OR REPLACE FUNCTION stallwatch_cut_text AS (text) ->
    if(length(text) > {{max_attribute_bytes}}, concat(toValidUTF8(substring(text, 1, {{max_attribute_bytes}})), '…'), text)
