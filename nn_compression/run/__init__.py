"""A compression run: begun from a network and a budget, kept in a folder, gone on with at any point."""
