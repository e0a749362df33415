"""Networks and data by name, and what is kept of networks on disk: no pickles."""
