//! The verbs on real servers and a real local repository.

mod support;
mod disproof;
mod vertical;
