"""Long-form work over an object store: plan, windows, merge, whoever schedules them; no torch."""
