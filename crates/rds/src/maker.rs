//! Who makes an instance or a cluster for some work and drops it again.

use serde::{Deserialize, Serialize};

use crate::marks::{self, Tags};

/// Who makes an instance for some work and drops it again. Both are kept in tags, as [`marks::value`] writes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maker {
    /// For which work.
    pub needed_for: String,
    /// Which process it is.
    pub process: String,
}

impl Maker {
    /// Who made what has these tags; `None` where a person does.
    pub(crate) fn of(tags: &Tags) -> Option<Self> {
        let needed_for = tags.get(marks::NEEDED_FOR)?.clone();
        Some(Self { needed_for, process: tags.get(marks::MAKER).cloned().unwrap_or_default() })
    }

    /// Puts it into the tags of what it makes.
    pub(crate) fn mark(&self, tags: &mut Tags) {
        tags.insert(marks::NEEDED_FOR.to_owned(), marks::value(&self.needed_for));
        tags.insert(marks::MAKER.to_owned(), marks::value(&self.process));
    }
}
