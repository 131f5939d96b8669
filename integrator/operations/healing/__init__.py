"""Find and heal what faults of earlier versions left behind, after an upgrade.

Every transaction is compared with its workflow and its parent transaction. What a signal to the
workflow heals is healed; the rest is shown with the commands for an operator.
"""
