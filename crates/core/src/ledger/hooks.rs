//! What a run runs before and after its command, such as maintenance mode on and off, and how far that is.

use serde::{Deserialize, Serialize};

/// The lines of a run, and how far each is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HooksRecord {
    /// What runs before the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<HookRecord>,
    /// What runs after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<HookRecord>,
}

/// One line for the shell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRecord {
    /// The line; secrets in it are masked.
    pub line: String,
    /// How far it is.
    pub state: HookState,
}

/// How far a line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookState {
    /// It was not begun.
    #[default]
    NotRun,
    /// It was begun, and did not say how it ended.
    Began,
    /// It ended with success.
    Ran,
    /// It failed.
    Failed,
    /// A person settled the run: nobody asks for it any more.
    Declared,
}

impl HookRecord {
    /// A line that was not begun.
    pub fn new(line: String) -> Self {
        Self { line, state: HookState::NotRun }
    }
}

impl HooksRecord {
    /// Whether the line after the command ended with success: what the one before did is over.
    pub fn is_over(&self) -> bool {
        self.after.as_ref().is_some_and(|after| after.state == HookState::Ran)
    }

    /// The line after the command, where it has still to be run: it failed, or what the one before did may hold.
    pub fn owed(&self) -> Option<&HookRecord> {
        let after = self.after.as_ref()?;
        match after.state {
            HookState::Failed => Some(after),
            HookState::Ran | HookState::Declared => None,
            HookState::NotRun | HookState::Began => {
                self.before.as_ref().filter(|before| before.state != HookState::NotRun).map(|_| after)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_switched_on_is_owed_until_it_is_switched_off() {
        use HookState::{Began, Declared, Failed, NotRun, Ran};
        let owed = |before: Option<HookState>, after: HookState| {
            let one = |state| HookRecord { line: "x".to_owned(), state };
            HooksRecord { before: before.map(one), after: Some(one(after)) }.owed().is_some()
        };
        assert!(!owed(Some(NotRun), NotRun), "nothing was switched on");
        assert!(owed(Some(Began), NotRun) && owed(Some(Ran), NotRun) && owed(Some(Failed), NotRun));
        assert!(!owed(Some(Ran), Ran) && !owed(Some(Ran), Declared));
        assert!(owed(Some(Ran), Failed) && owed(None, Failed));
        assert!(!owed(None, NotRun), "nothing was switched on");
        let on = HookRecord { line: "on".to_owned(), state: Ran };
        assert_eq!(HooksRecord { before: Some(on), after: None }.owed(), None, "no line switches it off");
    }
}
