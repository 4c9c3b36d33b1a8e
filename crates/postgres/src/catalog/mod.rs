//! What the catalog says about a database, read without taking a lock on any table.

pub mod database;
pub mod large_objects;
pub mod relations;
pub mod roles;
pub mod table_form;

mod lossy;

pub use lossy::Lossy;
