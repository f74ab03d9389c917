"""News and sentiment: what others say of the market, made harmless on its way in, and never a reason to risk more.

`feeds` fetches, `reading` takes feeds apart, `gate` lets in or turns away, `lexicon` and `extraction` make numbers of words,
`view` is what a decision may know at a time, `veto` sees to it that news only ever lowers exposure.
"""
