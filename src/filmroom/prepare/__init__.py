"""Clean copies to samples: `recipe` says what is wanted, `steps` and `volume` do it, `run` goes over a patient."""
