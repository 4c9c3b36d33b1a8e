//! Faults on demand.

use super::error::RdsError;

/// What a call is answered with instead of being done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RdsFault {
    /// `Throttling`, as beyond the rate of calls.
    Throttling,
    /// 500 `InternalFailure`.
    Internal,
    /// 503 `ServiceUnavailable`.
    Unavailable,
    /// 403 `AccessDenied` for `rds:` and the action.
    AccessDenied,
    /// 403 `ExpiredToken`.
    ExpiredToken,
    /// Any other error of the client's side: status, code, message.
    Error(u16, String, String),
    /// The call is done, then the connection is closed without an answer.
    AnswerLost,
}

impl RdsFault {
    /// Returns the error, `None` when the call is to be done.
    pub(super) fn error(&self, action: &str) -> Option<RdsError> {
        Some(match self {
            Self::Throttling => RdsError::new(400, "Throttling", "Rate exceeded"),
            Self::Internal => RdsError::new(500, "InternalFailure", "An internal error has occurred."),
            Self::Unavailable => RdsError::new(503, "ServiceUnavailable", "Service Unavailable"),
            Self::AccessDenied => RdsError::denied(action),
            Self::ExpiredToken => {
                RdsError::new(403, "ExpiredToken", "The security token included in the request is expired")
            }
            Self::Error(status, code, message) => RdsError::new(*status, code, message),
            Self::AnswerLost => return None,
        })
    }
}

/// Faults for calls to come.
#[derive(Debug, Default)]
pub(super) struct Faults {
    planned: Vec<(String, usize, RdsFault)>,
}

impl Faults {
    pub(super) fn push(&mut self, action: &str, times: usize, fault: RdsFault) {
        self.planned.push((action.into(), times, fault));
    }

    pub(super) fn clear(&mut self) {
        self.planned.clear();
    }

    /// Returns the fault that this call meets.
    pub(super) fn meet(&mut self, action: &str) -> Option<RdsFault> {
        let met = self.planned.iter_mut().find(|(for_action, left, _)| for_action == action && *left > 0)?;
        met.1 -= 1;
        Some(met.2.clone())
    }
}
