"""Analysis: what candles, scored news, supply figures and the books say, as typed results.

Every analysis is a pure function of its inputs and the moment `at`; nothing later than `at` is looked at. What cannot be told is
None or a state called unknown, with the reason said in words, and never NaN. Weights and thresholds that are choices and not
findings are named in the module that makes them.
"""
