//! How a command ends when it does not end well: what is printed, and the exit code.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line, a file or a variable is wrong: which one, its value and what is allowed. Nothing was attempted.
    Usage(String),
    /// The operation was attempted and failed.
    Failed(Box<dyn Error + Send + Sync>),
}

impl Failure {
    /// For messages without a cause of their own.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into().into())
    }

    /// Says first what it was about.
    pub(crate) fn context(self, about: &str) -> Self {
        match self {
            Self::Usage(message) => Self::Usage(format!("{about}: {message}")),
            failed @ Self::Failed(_) => Self::failed(format!("{about}: {failed}")),
        }
    }

    /// 2 for what the caller has to correct, 1 for what failed.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::from(1),
        }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// One line: the error and its causes.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) => f.write_str(message),
            Self::Failed(error) => {
                let mut last = error.to_string();
                f.write_str(&last)?;
                let mut cause = error.source();
                while let Some(error) = cause {
                    let message = error.to_string();
                    // Some errors repeat their cause in their own message.
                    if !last.contains(&message) {
                        write!(f, ": {message}")?;
                    }
                    last = message;
                    cause = error.source();
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Failure;

    #[derive(Debug, thiserror::Error)]
    #[error("{message}")]
    struct Layered {
        message: &'static str,
        #[source]
        source: Option<Box<Layered>>,
    }

    #[test]
    fn causes_are_told_once() {
        let cause = |message| Some(Box::new(Layered { message, source: None }));
        for (message, source, expected) in [
            ("read the file", cause("no such file"), "read the file: no such file"),
            ("read the file: no such file", cause("no such file"), "read the file: no such file"),
            ("alone", None, "alone"),
        ] {
            assert_eq!(Failure::from(Layered { message, source }).to_string(), expected);
        }
    }
}
