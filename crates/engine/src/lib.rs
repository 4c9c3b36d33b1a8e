//! Moving bytes: pieces, workers, the ordered window, pass-through, read-back and load.
