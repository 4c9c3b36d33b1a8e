//! Amazon RDS: restorable window, point-in-time restore, wait, cut-over, snapshots and clean-up.
//!
//! The crate speaks to the control plane only; it never opens a database. Everything it makes carries tags that begin
//! with `holdpoint:` ([`marks`]), and nothing without them is ever dropped. What is asked of RDS is first planned as a
//! value ([`RestorePlan`], [`CutOverPlan`]) that can be shown. Long work is a series of steps of which each can be taken
//! up by another process: the tags say what was asked, the properties say how far it came.
//!
//! No call stands in a tight loop: whoever waits says how long the pauses are ([`Waiting`]).

mod asked;
mod call;
mod client;
mod cluster;
mod cluster_member;
mod cluster_plan;
mod cluster_restore;
mod cut_over;
mod cut_over_marks;
mod cut_over_plan;
mod drop_cluster;
mod drop_instance;
mod drop_options;
mod error;
mod failure;
mod gone;
mod halfway;
mod hint;
mod instance;
mod made;
mod maker;
pub mod marks;
mod name;
mod options;
mod owner;
mod plan;
mod problem;
mod properties;
mod quota;
mod rename;
mod restore;
mod restore_options;
mod snapshots;
mod standing;
mod token;
mod wait;
mod window;

pub use client::Rds;
pub use cluster::Cluster;
pub use cluster_plan::ClusterPlan;
pub use cluster_restore::ClusterReport;
pub use cut_over::CutOverReport;
pub use cut_over_marks::{is_cut_over_begun, was_taken_back};
pub use cut_over_plan::CutOverPlan;
pub use drop_cluster::ClusterDropPlan;
pub use drop_instance::DropPlan;
pub use drop_options::{DropOptions, drop_command};
pub use error::{Awaited, Error, Result, Thing};
pub use halfway::Steps;
pub use instance::{Endpoint, Instance};
pub use made::{Made, estimate_seconds};
pub use maker::Maker;
pub use name::{check_name, with_ending};
pub use options::{CredentialSource, RdsOptions, Timing};
pub use owner::Owner;
pub use plan::RestorePlan;
pub use problem::Problem;
pub use properties::{Difference, How, Properties, PropertyLine};
pub use quota::Quota;
pub use rename::Rename;
pub use restore::RestoreReport;
pub use restore_options::{RestoreOptions, When};
pub use snapshots::Snapshot;
pub use standing::{Standing, standing};
pub use token::{Token, Tokens, region_of};
pub use wait::{Happened, Reading, Waiting};
pub use window::{Missing, Window};
