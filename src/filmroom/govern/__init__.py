"""Who may do what, for how long, and the evidence of what was done: policy, leases, audit log, lineage."""
