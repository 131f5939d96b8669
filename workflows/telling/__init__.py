"""The parts of a transaction's story: words, what happened, why, what comes next. Pure."""
