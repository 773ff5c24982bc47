-- At most so many attributes, none longer than so many bytes.
CREATE OR REPLACE FUNCTION stallwatch_limit_map AS (attributes) ->
    mapApply(
        (k, v) -> (k, if(length(v) > {{max_attribute_bytes}}, concat(toValidUTF8(substring(v, 1, {{max_attribute_bytes}})), '…'), v)),
        mapFromArrays(arraySlice(mapKeys(attributes), 1, {{max_attributes}}), arraySlice(mapValues(attributes), 1, {{max_attributes}})))
