//! Random programs: sequences of operations, and how to make a failing one small.

use std::fmt;

use crate::generator::Generator;
use crate::{Answer, Model, Operation};

/// Operations on a file that starts out empty, at a given second.
#[derive(Clone, PartialEq)]
pub struct Program {
    /// The first second.
    pub start: i64,
    /// What is done.
    pub operations: Vec<Operation>,
}

impl fmt::Debug for Program {
    /// One line for each operation, with the second at which it happens and what the model answers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut model = Model::new(self.start);
        for (step, operation) in self.operations.iter().enumerate() {
            let now = model.now;
            writeln!(f, "{step:4}  now {now}  {operation:?}  ->  {}", shortened(&model.apply(operation)))?;
        }
        Ok(())
    }
}

/// Enough of an answer to follow the program.
fn shortened(answer: &Answer) -> String {
    match answer {
        Answer::Rows(rows) if rows.len() > 4 => format!("Rows({:?} and {} more)", &rows[..4], rows.len() - 4),
        answer => format!("{answer:?}"),
    }
}

impl Program {
    /// The program of this seed with this many operations.
    pub fn random(seed: u64, length: usize) -> Program {
        let mut generator = Generator::new(seed);
        Program { start: generator.now(), operations: (0..length).map(|_| generator.next()).collect() }
    }

    /// The smallest program found, by leaving operations out, for which `fails` still holds.
    pub fn shrink(&self, fails: impl Fn(&Program) -> bool) -> Program {
        let mut smallest = self.clone();
        let mut chunk = self.operations.len() / 2;
        loop {
            let before = smallest.operations.len();
            let mut at = 0;
            while chunk > 0 && at < smallest.operations.len() {
                let end = (at + chunk).min(smallest.operations.len());
                // Leaving out what made jobs shifts the ids of those made later; both ways are tried.
                let candidates = [smallest.without(at, end, true), smallest.without(at, end, false)];
                match candidates.into_iter().find(|candidate| fails(candidate)) {
                    Some(smaller) => smallest = smaller,
                    None => at = end,
                }
            }
            if chunk <= 1 && smallest.operations.len() == before {
                return smallest;
            }
            chunk = (chunk / 2).max(1);
        }
    }

    fn without(&self, from: usize, to: usize, renumber: bool) -> Program {
        let mut model = Model::new(self.start);
        self.operations[..from].iter().for_each(|operation| drop(model.apply(operation)));
        let first = model.state.queue.last_id;
        self.operations[from..to].iter().for_each(|operation| drop(model.apply(operation)));
        let last = model.state.queue.last_id;

        let mut operations = self.operations.clone();
        operations.drain(from..to);
        if renumber {
            let ids = operations[from..].iter_mut().flat_map(Operation::ids);
            ids.filter(|id| **id > last).for_each(|id| *id -= last - first);
        }
        Program { start: self.start, operations }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_program() {
        assert!(Program::random(1, 300) == Program::random(1, 300));
        assert!(Program::random(1, 300) != Program::random(2, 300));
    }

    #[test]
    fn programs_shrink_to_what_matters() {
        let failing = |program: &Program| {
            let mut model = Model::new(program.start);
            program.operations.iter().for_each(|operation| drop(model.apply(operation)));
            model.state.queue.dead.values().any(|dead| dead.last_error == "expired")
        };
        let program = (0..).map(|seed| Program::random(seed, 300)).find(failing).expect("one of many");
        let smallest = program.shrink(failing);
        assert!(failing(&smallest));
        assert!(smallest.operations.len() <= 5, "{smallest:?}");
    }
}
