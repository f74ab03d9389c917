"""A mind of rules: `thinking` chooses what is asked for, the other modules do one thing each.

`finding` looks for JSON, `snapshot` reads a market in it, `trading` decides, `news` reads headlines, `ideas` writes strategies,
`talk` answers people, `tools` chooses tools, `filling` gives answers the shape of a schema, `personas` are characters.
"""
