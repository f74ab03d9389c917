"""A run on one page: figures by plotly, tables beside them, one HTML file that needs nothing else to be read."""
