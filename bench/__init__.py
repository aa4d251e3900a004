"""What the project's figures come from: `make bench`, or `make bench ONLY=ingest`.

Every figure stands beside a peer or a limit of this machine that was measured in the same run, as a ratio. Machines
differ and are noisy: quote ratios. Nothing here is a test.
"""
