"""The same work on other engines. Each script runs alone, in the peers' own interpreter, on data written by ours."""
