//! Development only: private PostgreSQL clusters, the S3 engine, an RDS endpoint, faults, sample databases, fake programs.
//!
//! Real parts: [`Cluster`] is a PostgreSQL of any supported major, [`S3Server`] a SeaweedFS, [`RdsServer`] answers as Amazon
//! RDS does with such clusters behind it, [`FaultProxy`] spoils the connection to any. The one mock is [`MotoServer`], others'
//! reading of RDS's requests. `scripts/setup` installs them; a missing one is a failed test. The interface is blocking; tokio
//! tests may call it too.
//!
//! Servers listen on unix sockets and loopback addresses only and end with the test process, even on SIGKILL. Never
//! use this crate outside of tests: it panics where anything is wrong.

#![expect(
    clippy::disallowed_methods,
    reason = "the testkit starts servers and stock programs by itself and reads HOLDPOINT_CACHE"
)]

mod account;
mod cache;
mod certificate;
mod client;
mod cluster;
mod cluster_options;
pub mod fake;
mod fault;
mod fault_proxy;
mod http;
mod keeper;
mod moto_server;
mod place;
mod rds;
mod s3_client;
mod s3_server;
pub mod sample;
mod signature;
mod template;
mod token_front;
mod trap;

pub use account::Account;
pub use cache::{
    MAJORS, NEWEST, bin_directory, cache_directory, migration_tool, postgresql_directory, weed_program,
    workspace_directory,
};
pub use certificate::Certificates;
pub use client::{expect_success, with_input};
pub use cluster::{Cluster, free_port, quote_identifier, quote_literal};
pub use cluster_options::ClusterOptions;
pub use fault::{Fault, SeenRequest};
pub use fault_proxy::{FaultProxy, Rule};
pub use http::Response;
pub use moto_server::MotoServer;
pub use rds::{Pace, RDS_MASTER, RDS_MASTER_PASSWORD, RdsCluster, RdsFault, RdsInstance, RdsServer, Shipping};
pub use s3_client::ListedObject;
pub use s3_server::{ADMIN, Identity, READ_ONLY, S3Server, STRANGER, WRITER, WRITER_BUCKET};
pub use token_front::TokenFront;
pub use trap::Trap;
