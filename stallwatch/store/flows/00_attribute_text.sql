-- An attribute's value as text: arrays as JSON, bytes in base64. Most values are texts, which cost nothing but the copy.
CREATE OR REPLACE FUNCTION stallwatch_attribute_text AS (v) ->
    concat(
        v.string_value,
        multiIf(
            v.value = 'string_value', '',
            v.value = 'int_value', toString(v.int_value),
            v.value = 'bool_value', if(v.bool_value, 'true', 'false'),
            v.value = 'double_value', toString(v.double_value),
            v.value = 'bytes_value', base64Encode(v.bytes_value),
            v.value = 'array_value', toJSONString(arrayMap(
                i -> multiIf(
                    i.value = 'string_value', i.string_value,
                    i.value = 'bool_value', if(i.bool_value, 'true', 'false'),
                    i.value = 'int_value', toString(i.int_value),
                    i.value = 'double_value', toString(i.double_value),
                    ''),
                v.array_value.values)),
            ''))
