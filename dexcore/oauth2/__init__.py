"""The protocol, pure: no input or output, nothing to wait for."""
