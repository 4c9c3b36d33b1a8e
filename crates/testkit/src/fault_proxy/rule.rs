//! Which requests a fault meets.

use std::fmt;

use crate::fault::{Fault, SeenRequest};

type Matcher = Box<dyn Fn(&SeenRequest) -> bool + Send>;

/// A fault, and which connections (requests, in HTTP mode) meet it: by default the next one.
///
/// What is asked of a request (operation, method, key) holds together; in TCP mode nothing can be asked.
pub struct Rule {
    fits: Vec<Matcher>,
    fault: Fault,
    /// So many that fit pass before.
    pass: usize,
    /// For so many; `None` for all.
    times: Option<usize>,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("fault", &self.fault)
            .field("pass", &self.pass)
            .field("times", &self.times)
            .finish_non_exhaustive()
    }
}

impl Rule {
    /// Makes a rule for the next connection.
    #[must_use]
    pub fn new(fault: Fault) -> Self {
        Self { fits: Vec::new(), fault, pass: 0, times: Some(1) }
    }

    /// Only requests that fit.
    #[must_use]
    pub fn when(mut self, fits: impl Fn(&SeenRequest) -> bool + Send + 'static) -> Self {
        self.fits.push(Box::new(fits));
        self
    }

    /// Only requests of an S3 operation, as [`SeenRequest::operation`] names it.
    #[must_use]
    pub fn operation(self, operation: &'static str) -> Self {
        self.when(move |request| request.operation() == operation)
    }

    /// Only requests whose path or query holds `text`, as it was sent.
    #[must_use]
    pub fn target(self, text: impl Into<String>) -> Self {
        let text = text.into();
        self.when(move |request| request.target.contains(&text))
    }

    /// Lets those before the `nth` (from 1) pass.
    #[must_use]
    pub fn from_nth(mut self, nth: usize) -> Self {
        self.pass = nth.saturating_sub(1);
        self
    }

    /// For so many, one after the other.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }

    /// For all that follow.
    #[must_use]
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    /// How many requests it will still meet; one for all counts as none.
    pub(super) fn left(&self) -> usize {
        self.times.unwrap_or_default()
    }

    pub(super) fn is_over(&self) -> bool {
        self.times == Some(0)
    }

    /// Takes the fault for a connection, if this rule is for it.
    pub(super) fn take(&mut self, request: Option<&SeenRequest>) -> Option<Fault> {
        let fits = self.fits.is_empty() || request.is_some_and(|request| self.fits.iter().all(|fit| fit(request)));
        if !fits {
            return None;
        }
        if self.pass > 0 {
            self.pass -= 1;
            return None;
        }
        self.times = self.times.map(|left| left.saturating_sub(1));
        Some(self.fault.clone())
    }
}
