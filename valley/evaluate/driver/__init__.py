"""Inside the sandbox: a warm interpreter that forks one fresh process for each test.

It imports the standard library only and is never imported by the grader: `sandbox.py` starts it with
the folder that holds this one on the path, and a root of its own shows it no other file of `valley`.
"""
