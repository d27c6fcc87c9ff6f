"""Object stores: one interface, a local folder and plain S3; no torch, no settings."""
