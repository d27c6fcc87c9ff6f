"""DataFlux: raw audio in, verified listening questions out; every stage's record is written once."""
