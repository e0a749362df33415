"""A network as one coded file, as small as its weights allow, decoded bit for bit."""
