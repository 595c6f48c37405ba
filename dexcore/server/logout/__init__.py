"""``/logout``: how a session ends by the browser's own way."""
