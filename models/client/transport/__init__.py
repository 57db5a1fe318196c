"""HTTP/1.1 for many small requests in flight: a transport for the `openai` package's HTTP client.

The client's own transport looks at every connection for every request, which costs more than everything else a request
needs, and grows with the requests in flight. This one takes an idle connection from a stack.
"""
