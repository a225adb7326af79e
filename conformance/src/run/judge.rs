//! Whether an answer is what the step expects.

use serde_json::json;

use super::{End, Run, lacking};
use crate::case::{Actor, Dies, Expected, letter};
use crate::matcher;
use crate::protocol::{Answer, UNTYPED};
use crate::testee::Trouble;

impl Run<'_> {
    /// Whether an answer is what was expected.
    pub(super) fn judge(
        &mut self,
        actor: Actor,
        op: &str,
        expected: &Expected,
        answer: Result<Answer, Trouble>,
    ) -> Result<(), End> {
        let fail = |error: String| Err(End::Failed(format!("{} {op}: {error}", letter(actor))));
        let answer = match answer {
            Err(Trouble::Died(_)) if expected.dies != Dies::Never => {
                self.dead.insert(actor);
                return Ok(());
            }
            Err(trouble) => return fail(trouble.to_string()),
            Ok(answer) if expected.dies == Dies::Always => {
                return fail(format!("the testee should have died, but it answered: {answer}"));
            }
            Ok(answer) => answer,
        };
        if let Some(failure) = &expected.fails {
            let Answer::Error { name, message, .. } = &answer else {
                return fail(match &answer {
                    Answer::Unsupported(feature) => return Err(self.unsupported(actor, feature)),
                    other => format!("should have failed, but: {other}"),
                });
            };
            // Where errors cannot be told apart, their texts may be anything as well.
            if name == UNTYPED {
                return Ok(());
            }
            if !failure.names.is_empty() && !failure.names.contains(name) {
                return fail(format!(
                    "should have failed with {}, but: {answer}",
                    failure.names.join(" or ")
                ));
            }
            let said = message.to_lowercase();
            if let Some(words) = failure.words.iter().find(|words| !said.contains(&words.to_lowercase())) {
                return fail(format!("the error should say {words:?}, but: {answer}"));
            }
            return Ok(());
        }
        let result = match &answer {
            Answer::Ok(value) => value.clone(),
            Answer::Outcome(name) if expected.gives.is_some() => json!(name),
            Answer::Unsupported(feature) => return Err(self.unsupported(actor, feature)),
            other => return fail(other.to_string()),
        };
        if let Some(gives) = &expected.gives
            && let Err(error) = matcher::matches(gives, Some(&result), &mut self.scope)
        {
            return fail(format!("{error}; the answer: {answer}"));
        }
        if expected.dies == Dies::Never || !expected.save.is_empty() {
            self.save(&expected.save, &result).or_else(fail)?;
        }
        Ok(())
    }

    fn unsupported(&self, actor: Actor, feature: &str) -> End {
        let made = self.players[&actor].made();
        End::Skipped(lacking(&made.name, feature, &made.lacks[feature]))
    }
}
