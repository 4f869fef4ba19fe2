"""Seeds: the files of seeds/, every one run every time, to the same end; recorded in the ledger."""
