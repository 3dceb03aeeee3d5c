//! What a user asks of a trial, as an annotation of the listener: `mqtt.smartboot.tech/trial: skip:edge-tls-1f0c9a31`.
//!
//! It names the trial, so it is done once: another trial has another ID, and an annotation that stays does nothing more.

use std::collections::BTreeMap;

use crate::plan::names::TRIAL;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Try a certificate again that was rolled back.
    Resume,
    /// Give the renewed certificate to all clients now.
    Skip,
    /// Go back to the certificate before.
    End,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Resume, Self::Skip, Self::End];

    /// Returns its word in the annotation.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Resume => "resume",
            Self::Skip => "skip",
            Self::End => "end",
        }
    }
}

/// What a user asks of a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What is asked.
    pub action: Action,
    /// The trial's ID.
    pub id: String,
}

/// The annotation is not such a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Command {
    /// Reads the annotations of a listener.
    ///
    /// # Errors
    ///
    /// There is an annotation that is not such a command.
    pub fn read(annotations: Option<&BTreeMap<String, String>>) -> Result<Option<Self>, Malformed> {
        let Some(text) = annotations.and_then(|all| all.get(TRIAL)) else {
            return Ok(None);
        };
        let (word, id) = text.trim().split_once(':').ok_or(Malformed)?;
        let mut actions = Action::ALL.into_iter();
        let action = actions.find(|action| action.word() == word);
        Ok(Some(Self {
            action: action.ok_or(Malformed)?,
            id: id.to_owned(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Action, Command, Malformed, TRIAL};

    #[test]
    fn an_action_names_its_trial() {
        let read = |text: &str| {
            Command::read(Some(&BTreeMap::from([(TRIAL.to_owned(), text.to_owned())])))
        };
        for action in Action::ALL {
            let command = read(&format!("{}:edge-tls-1", action.word())).unwrap();
            let id = "edge-tls-1".to_owned();
            assert_eq!(command, Some(Command { action, id }));
        }
        for bad in ["", "skip", "Skip:a", "stop:a"] {
            assert_eq!(read(bad), Err(Malformed), "{bad}");
        }
        assert_eq!(Command::read(None), Ok(None));
    }
}
