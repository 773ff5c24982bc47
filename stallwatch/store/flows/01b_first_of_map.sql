-- At most so many attributes: the first ones.
CREATE OR REPLACE FUNCTION stallwatch_first_of_map AS (attributes) ->
    mapFromArrays(arraySlice(mapKeys(attributes), 1, {{max_attributes}}), arraySlice(mapValues(attributes), 1, {{max_attributes}}))
