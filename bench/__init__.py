"""A load harness for OpenID Connect providers: ours, and others beside it.

``python -m bench --help`` says how.  It only ever talks to loopback addresses.
"""
