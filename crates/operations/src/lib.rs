//! The verbs: backup, verify, restore, list, doctor. Options in, report out; no byte loops.
