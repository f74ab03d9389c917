"""Grafana boards, written in Python and kept as JSON: `python -m deploy.grafana` writes `dashboards/*.json`."""
