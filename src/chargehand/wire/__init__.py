"""What goes over the wire: REST models, shared by the server and the SDK."""
