//! The `holdpoint` program: arguments, configuration, progress, output, exit codes and signals.

fn main() {}
