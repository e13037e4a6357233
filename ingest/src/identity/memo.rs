//! The latest answers, by what was asked: most records ask what another one just asked.

use super::entity::Answer;
use crate::intern::STIR;

/// Slots, by the power of two: several for each question of most batches.
const BITS: u32 = 12;

/// Answers to questions.
#[derive(Debug)]
pub(super) struct Memo {
    slots: Vec<(Question, Held)>,
}

/// What is asked. Views stand for texts: in one batch, equal views of a column are equal text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Question {
    /// What most questions differ by.
    pub text: u128,
    /// What else they differ by.
    pub other: u64,
    /// Which column of which batch the views are of; 0 if the question holds none, so that all batches share it.
    pub views_of: u64,
}

/// An answer and from when until when it holds; the end is not included. By default it never does.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    pub from: i64,
    pub to: i64,
    pub answer: Answer,
}

impl Question {
    /// A question that has no answer.
    pub const NOTHING: Question = Question {
        text: 0,
        other: 0,
        views_of: u64::MAX,
    };
}

impl Held {
    /// An answer that holds at any time.
    pub fn always(answer: Answer) -> Held {
        Held {
            from: i64::MIN,
            to: i64::MAX,
            answer,
        }
    }

    /// Whether it holds.
    #[inline]
    pub fn at(&self, time: i64) -> bool {
        (self.from <= time) & (time < self.to)
    }
}

impl Default for Memo {
    fn default() -> Self {
        Memo {
            slots: vec![Default::default(); 1 << BITS],
        }
    }
}

impl Memo {
    /// The answer, if it holds and nothing was asked since that fell on the same slot.
    #[inline]
    pub fn get(&self, question: &Question, time: i64) -> Option<Answer> {
        let (known, held) = &self.slots[slot(question.text)];
        // All of it is compared in any case: what differs is hard to foretell, and a wrong guess costs more.
        let differs = (known.text ^ question.text)
            | u128::from(known.other ^ question.other)
            | u128::from(known.views_of ^ question.views_of)
            | u128::from(!held.at(time));
        (differs == 0).then_some(held.answer)
    }

    /// Remembers an answer.
    pub fn put(&mut self, question: Question, held: Held) {
        if question == Question::NOTHING {
            return;
        }
        self.slots[slot(question.text)] = (question, held);
    }
}

#[inline]
fn slot(text: u128) -> usize {
    ((text as u64 ^ (text >> 64) as u64).wrapping_mul(STIR) >> (u64::BITS - BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_to_its_question_and_for_its_time() {
        let question = Question {
            text: 7,
            other: 1,
            views_of: 2,
        };
        let answer = Answer {
            entity: 3,
            ..Answer::default()
        };
        let mut memo = Memo::default();
        memo.put(
            question,
            Held {
                from: 10,
                to: 20,
                answer,
            },
        );
        let at = [9, 10, 19, 20].map(|time| memo.get(&question, time));
        assert_eq!(at, [None, Some(answer), Some(answer), None]);
        let others = [
            Question { text: 8, ..question },
            Question { other: 2, ..question },
            Question {
                views_of: 3,
                ..question
            },
            Question::NOTHING,
            Question::default(),
        ];
        assert_eq!(others.map(|other| memo.get(&other, 15)), [None; 5]);
        // What has no answer is not remembered, and a later question takes the place of an earlier one.
        memo.put(Question::NOTHING, Held::always(answer));
        assert_eq!(memo.get(&Question::NOTHING, 15), None);
        memo.put(Question { other: 2, ..question }, Held::always(answer));
        assert_eq!(memo.get(&question, 15), None);
    }
}
