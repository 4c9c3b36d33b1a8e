//! The account's quotas that a restore or a snapshot runs into.

use serde::Serialize;

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

    /// The quotas that would be passed by so many more, in words.
    pub(crate) fn passed(quotas: &[Self], wanted: &[(&str, i64)]) -> Vec<String> {
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
