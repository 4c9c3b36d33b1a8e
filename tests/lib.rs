//! Shared pieces of the end-to-end tests: a hermetic way to run the `holdpoint` binary.
