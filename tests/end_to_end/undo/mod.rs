//! What the ledger says of runs, and the ways back that `undo` goes.

mod around_stopped;
mod cascades;
mod columns;
mod each_step;
mod every_phase;
mod guard_stopped;
mod killed;
mod ledger;
mod other_names;
mod own_references;
mod project;
mod proof;
mod recover;
mod scripts;
mod ways;
