"""Figures after plotly's JSON schema, drawn by the browser: pure functions, records in, plain JSON values out.

They are written by hand: plotly's own classes take longer to check a figure than a page may take, so tests do it instead.
"""
