//! A project with its tool and its files.

use std::path::Path;

use crate::tools::{Choice, Configuration, Error, Found, ProjectFiles, Tool, find};

/// A project whose tool was found and whose files were read.
#[derive(Clone, Debug)]
pub struct Project {
    /// The tool as it is configured.
    pub found: Found,
    /// Migrations, and scripts that undo them.
    pub files: ProjectFiles,
    /// What the tool was configured by when it was found.
    pub configuration: Configuration,
}

impl Project {
    /// Finds the tool and reads the files; runs none of the project's code.
    ///
    /// A command that prints what is pending needs no folder of migrations.
    ///
    /// # Errors
    /// Where no tool or several are found, a configuration cannot be read, or the folder is not there.
    pub fn open(folder: &Path, choice: &Choice) -> Result<Self, Error> {
        let found = find(folder, choice)?.one()?;
        let configuration = Configuration::read(&found)?;
        let optional = found.tool == Tool::Command && choice.migrations.is_none();
        let files = match ProjectFiles::read(&found) {
            Err(Error::NoFolder { .. }) if optional => ProjectFiles::default(),
            read => read?,
        };
        Ok(Self { found, files, configuration })
    }
}
