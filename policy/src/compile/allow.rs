//! What may be called.

use super::{CompileError, InvalidPattern, Layers, ModelPattern, refuse};
use crate::document::{AllowDocument, DocumentError};

/// What may be called; `None` means everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowList {
    operations: Option<Vec<Box<str>>>,
    models: Option<Vec<ModelPattern>>,
}

/// Says what is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// The operation.
    #[error("operation is not allowed")]
    Operation,
    /// The model.
    #[error("model is not allowed")]
    Model,
}

impl AllowList {
    /// Compiles lists of operations and model patterns.
    ///
    /// # Errors
    /// The first pattern that is none.
    pub fn new(operations: Option<&[String]>, models: Option<&[String]>) -> Result<Self, InvalidPattern> {
        let patterns = |models: &[String]| models.iter().map(|model| ModelPattern::new(model)).collect();
        Ok(Self {
            operations: operations.map(|names| names.iter().map(|name| name.as_str().into()).collect()),
            models: models.map(patterns).transpose()?,
        })
    }

    /// Says whether a call may be made; `model` is `None` where the operation has none.
    ///
    /// # Errors
    /// [`NotAllowed`] with what is missing.
    pub fn check(&self, operation: &str, model: Option<&str>) -> Result<(), NotAllowed> {
        if self.operations.as_ref().is_some_and(|allowed| !allowed.iter().any(|name| **name == *operation)) {
            return Err(NotAllowed::Operation);
        }
        match (&self.models, model) {
            (Some(allowed), Some(model)) if !allowed.iter().any(|pattern| pattern.matches(model)) => {
                Err(NotAllowed::Model)
            }
            _ => Ok(()),
        }
    }
}

/// One list per layer that states one; all of them must allow.
pub(super) fn compile(layers: &Layers<'_>) -> Result<Vec<AllowList>, CompileError> {
    let stated = layers.0.iter().filter(|(_, document)| document.allow != AllowDocument::default());
    let compiled = stated.map(|(layer, document)| {
        AllowList::new(document.allow.operations.as_deref(), document.allow.models.as_deref())
            .map_err(|error| refuse(*layer, DocumentError::new("allow.models", &format!("expected {error}"))))
    });
    compiled.collect()
}
