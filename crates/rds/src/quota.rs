//! The account's quotas that a restore or a snapshot runs into.

use serde::Serialize;

use crate::error::Error;
use crate::problem::Problem;

/// One quota of the account in its region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quota {
    /// RDS's name: `DBInstances`, `AllocatedStorage` (GiB), `ManualSnapshots`.
    pub name: String,
    /// How much of it is used.
    pub used: i64,
    /// How much there may be.
    pub most: i64,
}

impl Quota {
    /// How much more is allowed.
    #[must_use]
    pub fn left(&self) -> i64 {
        self.most.saturating_sub(self.used).max(0)
    }

    /// Of the quotas that were `read`, those that a restore takes so much more of. One that would be passed is a problem; that they
    /// may not be read is only worth knowing, as it does not keep RDS from granting the restore.
    pub(crate) fn counted(
        read: std::result::Result<Vec<Self>, String>,
        wanted: &[(&str, i64)],
        problems: &mut Vec<Problem>,
        warnings: &mut Vec<String>,
    ) -> Vec<Self> {
        let mut quotas = read.unwrap_or_else(|why| {
            warnings.push(format!("the account's quotas are not known: {why}"));
            Vec::new()
        });
        for what in Self::passed(&quotas, wanted) {
            let hint = Error::Quota { subject: String::new(), code: String::new(), message: String::new() }.hint();
            problems.push(Problem { what, hint });
        }
        quotas.retain(|quota| wanted.iter().any(|(name, _)| *name == quota.name));
        quotas
    }

    /// The quotas that would be passed by so many more, in words.
    fn passed(quotas: &[Self], wanted: &[(&str, i64)]) -> Vec<String> {
        let find = |name: &str| quotas.iter().find(|quota| quota.name == name);
        let over = |(name, more): &(&str, i64)| {
            find(name).filter(|quota| quota.left() < *more).map(|quota| {
                format!("the quota {name} has {} of {} left and {more} more are needed", quota.left(), quota.most)
            })
        };
        wanted.iter().filter_map(over).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_that_would_be_passed_are_told() {
        let quota = |name: &str, used, most| Quota { name: name.to_owned(), used, most };
        let quotas = [quota("DBInstances", 39, 40), quota("AllocatedStorage", 99_990, 100_000)];
        assert!(Quota::passed(&quotas, &[("DBInstances", 1), ("AllocatedStorage", 10), ("Unknown", 9)]).is_empty());
        let told = Quota::passed(&quotas, &[("DBInstances", 1), ("AllocatedStorage", 20)]);
        assert_eq!(told, ["the quota AllocatedStorage has 10 of 100000 left and 20 more are needed"]);
        assert_eq!(Quota::passed(&[quota("DBInstances", 41, 40)], &[("DBInstances", 1)]).len(), 1);
    }
}
