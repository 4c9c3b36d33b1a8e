//! Whose a resource is, by its ARN, and whose resources are seen: what is not found is gone only where it would be seen.

use crate::client::Rds;
use crate::error::Result;

/// The account and region that a resource lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    partition: String,
    region: String,
    account: String,
}

impl Owner {
    /// Reads `arn:PARTITION:rds:REGION:ACCOUNT:…`; `None` for what is no such ARN.
    #[must_use]
    pub fn of(arn: &str) -> Option<Self> {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        match parts.as_slice() {
            ["arn", partition, "rds", region, account, _] if !region.is_empty() && !account.is_empty() => {
                let [partition, region, account] = [partition, region, account].map(|part| (*part).to_owned());
                Some(Self { partition, region, account })
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "account {} in {}", self.account, self.region)
    }
}

impl Rds {
    /// Whose resources this client sees, by those that there are: the instance with that resource id, else any instance, else any
    /// snapshot of the account's own. `None` where there is none.
    ///
    /// # Errors
    /// Those of [`instances`](Self::instances) and [`snapshots`](Self::snapshots).
    pub async fn seen_owner(&self, resource_id: &str) -> Result<Option<Owner>> {
        if let Some(owner) = self.find_resource(resource_id).await?.and_then(|one| Owner::of(&one.arn)) {
            return Ok(Some(owner));
        }
        if let Some(owner) = self.instances().await?.iter().find_map(|one| Owner::of(&one.arn)) {
            return Ok(Some(owner));
        }
        let own = |kind: &str| !matches!(kind, "shared" | "public");
        let snapshots = self.snapshots(None).await?;
        Ok(snapshots.iter().filter(|one| own(&one.kind)).find_map(|one| Owner::of(&one.arn)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_a_resource_is_stands_in_its_arn() {
        let own = Owner::of("arn:aws:rds:eu-central-1:123456789012:snapshot:held").unwrap();
        assert_eq!(own.to_string(), "account 123456789012 in eu-central-1");
        assert_eq!(Some(&own), Owner::of("arn:aws:rds:eu-central-1:123456789012:snapshot:rds:shop-2026").as_ref());
        for other in [
            "arn:aws:rds:eu-central-1:210987654321:snapshot:held",
            "arn:aws:rds:us-east-1:123456789012:snapshot:held",
            "arn:aws-cn:rds:eu-central-1:123456789012:snapshot:held",
        ] {
            assert_ne!(Some(&own), Owner::of(other).as_ref(), "{other}");
        }
        for none in ["", "held", "arn:aws:s3:::bucket/held", "arn:aws:rds:eu-central-1::snapshot:held"] {
            assert_eq!(Owner::of(none), None, "{none}");
        }
    }
}
