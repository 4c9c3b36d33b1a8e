//! How the control plane is reached by verbs that need it for some restore points only.

use std::sync::Arc;

use holdpoint_rds::{RdsOptions, Timing, Waiting};

use super::ControlPlane;
use crate::{Context, Error};

/// How the control plane is reached, and how patiently instances are waited for. Nothing is asked until it is needed.
#[derive(Clone, Debug, Default)]
pub struct RdsReach {
    /// Region, endpoint, profile and certificates.
    pub options: RdsOptions,
    /// How patiently.
    pub waiting: Waiting,
    /// How long one call may take.
    pub timing: Timing,
}

impl ControlPlane {
    /// Makes the client for the region that a snapshot lies in.
    ///
    /// # Errors
    /// A certificate that is missing.
    pub(crate) async fn of(context: &Context, region: &str) -> Result<Self, Error> {
        let mut reach = context.rds.clone();
        reach.options.region = Some(region.to_owned());
        let (clock, cancel) = (Arc::clone(&context.clock), context.cancel.clone());
        Self::connect(reach, clock, cancel, Arc::clone(&context.progress)).await
    }
}
