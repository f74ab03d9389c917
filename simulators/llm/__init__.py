"""A language-model service over real sockets, in the protocols of OpenAI and Anthropic, that misbehaves on demand.

`dialects` read requests into a `prompt` and write a `reply`; `catalogue` knows the models and what they refuse, `tokens` what
they bill, `gate` who may ask how often. The `mind` answers by rules. What goes wrong: `faults` as values, `mischief` to answers
and `transport` to bytes; `admin` takes them over HTTP, `records` keeps the last requests. `server` puts it together: import
`LlmSimulator` from `simulators.llm.server`.
"""
