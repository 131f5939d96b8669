"""A fault campaign: money moves, everything breaks, and then three books must balance.

It stands outside the product: it starts a stack, plays the billing platform and its customers,
breaks processes, connections and the PSP, and compares what everybody says in the end.
"""
