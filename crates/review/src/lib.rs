//! The risk review of pending SQL: what every statement destroys, locks and rewrites, whether it can be rolled back, and
//! which tables are at risk.
//!
//! [`review()`] reads the text alone; [`review_against`] adds what only the catalog knows: cascades, partitions, triggers, types,
//! sizes. Both are pure. This crate must never guess in favour of a statement: what it cannot read puts everything at
//! risk, and nothing that stands in the SQL, comments least of all, lets a risk pass.
//!
//! The rules come from PostgreSQL's manual and sources and from measurements on a server; `docs/review.md` lists them.

mod advice;
mod batch;
mod catalog;
mod finding;
mod functions;
mod input;
mod kind;
mod link;
mod lock;
mod markdown;
pub mod markdown_text;
mod name;
mod psql_text;
mod resolve;
mod review;
mod risk;
mod scan;
mod stack;
mod syntax;
mod types;
mod unreviewable;
mod waiver;

pub use advice::Advice;
pub use batch::{RenamedColumn, RenamedTable};
pub use catalog::{
    CATALOG_QUERY, Catalog, CatalogRoutine, Column, Dependency, Domain, Event, ForeignKey, KeyAction, Relation,
    RelationKind, TableRule, TableTrigger, Thing,
};
pub use finding::{Finding, Loss, Made, ObjectClass, Reach, Rewrite, Role, Target, Touch, WayBack, Within};
pub use holdpoint_core::risk::{Requirement, RiskClass, RiskPolicy};
pub use input::{Dialect, Direction, MigrationSql, ReviewOptions, Transaction};
pub use kind::Kind;
pub use lock::{LockMode, TableLock};
pub use markdown::{markdown, markdown_resolved};
pub use name::ObjectName;
pub use psql_text::{MetaCommand, PsqlText, psql_text};
pub use resolve::{ResolvedReview, TableAtRisk, Through, review_against};
pub use review::{FileReview, Note, Review, StatementReview, review};
pub use unreviewable::Unreviewable;
pub use waiver::{Assessment, Waiver, Weighed, assess};
