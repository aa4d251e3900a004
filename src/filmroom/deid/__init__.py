"""De-identification: an allow-list makes a copy, an independent verifier proves it, and only the proof passes."""
