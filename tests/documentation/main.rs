//! What the pages say is what the program does: commands, links, exit codes, configuration keys, named phases, the runbooks' steps; and they are whole.

mod commands;
mod links;
mod lists;
mod page;
mod runbook;
mod whole;
