"""Ways in: HTTP. A route translates a request, asks service, and translates the answer back."""
