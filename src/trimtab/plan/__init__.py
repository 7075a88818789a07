"""What a launch will take, before anything is spent, and what a load of requests will take of a bundle.

`pipeline/planning.py` rehearses a launch with what lies here: real steps on real batches, a real export, the checks on
answers that are not computed in full. What is counted and what is timed comes together in an `Estimate`.
"""
