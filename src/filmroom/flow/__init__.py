"""The shell: one verb a file, in the order receive, deidentify, freeze, build, share, load, trace.

A verb asks the policy, gathers facts through its ports, lets the stages decide, and writes what they decided: bytes
first, then rows and the audit leaf in one transaction. A crash leaves an orphan, never a lie.
"""
