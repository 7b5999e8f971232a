"""All SQL and all stored bytes: nothing outside this room imports sqlalchemy or touches the blob folder."""
