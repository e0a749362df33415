"""Analog circuits: decks and specs read, simulated in ngspice, sized by the shared core."""
