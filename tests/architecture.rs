//! The architecture test.
