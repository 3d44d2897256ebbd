"""Groups, chains and chords: plan them, start them, read their results."""
