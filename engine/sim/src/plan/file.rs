//! Plans as TOML files.

use std::path::{Path, PathBuf};

use super::{Plan, PlanError};

/// Why a file holds no plan that can be run.
#[derive(Debug, thiserror::Error)]
pub enum PlanFileError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// Where it should be.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is no plan in TOML.
    #[error("{} is no plan: {source}", path.display())]
    NoPlan {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        source: toml::de::Error,
    },
    /// It is one, of a cluster that cannot be.
    #[error("{}: {source}", path.display())]
    Impossible {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        source: PlanError,
    },
}

impl Plan {
    /// Reads a plan, and checks that it can be run.
    ///
    /// # Errors
    /// When there is no such file, or no such plan in it.
    pub fn read(path: &Path) -> Result<Self, PlanFileError> {
        let path_buf = || path.to_owned();
        let text = std::fs::read_to_string(path).map_err(|source| PlanFileError::Unreadable {
            path: path_buf(),
            source,
        })?;
        let plan: Self = toml::from_str(&text).map_err(|source| PlanFileError::NoPlan {
            path: path_buf(),
            source,
        })?;
        plan.check().map_err(|source| PlanFileError::Impossible {
            path: path_buf(),
            source,
        })?;
        Ok(plan)
    }

    /// The plan as a file holds it.
    ///
    /// # Panics
    /// When a number is above 2^63 - 1, which TOML cannot say.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("every number of a plan fits TOML")
    }
}
