//! Who held one thing when: intervals of holders, and the rule that answers for a moment.

use super::entity::{Certainty, Method};

/// How far clocks and windows may be off: a flow record's window is 10 minutes
/// long at most, and clocks of logs differ by minutes.
pub const SLACK_MICROS: i64 = 10 * 60_000_000;

/// One holder of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hold {
    /// From when on it can have been.
    pub can_from: i64,
    /// From when on it is known to have been.
    pub from: i64,
    /// Until when it is known to have lasted: its end, or when it was last seen.
    pub known_to: i64,
    /// Whether `known_to` is its end.
    pub ended: bool,
    /// Until when it can have lasted.
    pub can_to: i64,
    /// Who: a place in a list of the ledger.
    pub owner: u32,
    /// VPC, or subnet if the VPC is not known.
    pub scope: Option<u32>,
}

impl Hold {
    /// When it may begin or end.
    pub fn moments(&self) -> [i64; 4] {
        [self.can_from, self.from, self.known_to, self.can_to]
    }
}

/// All holders of one thing.
#[derive(Debug, Clone, Default)]
pub(super) struct Holds {
    /// In order of `can_from`.
    holds: Vec<Hold>,
    /// Greatest `can_to` up to each place.
    reach: Vec<i64>,
}

/// What the holders say of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// Who; none if several can be.
    pub owner: Option<u32>,
    pub certainty: Certainty,
    pub method: Method,
}

impl Holds {
    /// Takes the holders in any order. One whose end is not known can last until
    /// the next one in its scope begins.
    pub fn new(mut holds: Vec<Hold>) -> Self {
        holds.sort_unstable();
        for place in 0..holds.len() {
            let hold = holds[place];
            holds[place].can_to = match hold.ended {
                true => hold.known_to,
                false => holds[place + 1..]
                    .iter()
                    .find(|next| {
                        next.owner != hold.owner && next.from > hold.from && same(next.scope, hold.scope)
                    })
                    .map_or(i64::MAX, |next| next.from.max(hold.known_to)),
            };
        }
        let mut reach = Vec::with_capacity(holds.len());
        for hold in &holds {
            reach.push(hold.can_to.max(reach.last().copied().unwrap_or(i64::MIN)));
        }
        Holds { holds, reach }
    }

    /// All of them, in order of time.
    pub fn all(&self) -> &[Hold] {
        &self.holds
    }

    /// Who held it at `time`; none if nobody can have. `scope` limits to one VPC, if
    /// that is known. `one` tells holders that are one and the same.
    ///
    /// Certain is a moment between the first and the last that is known of the only
    /// holder within the slack: a holder that no log names may have been before and after.
    pub fn at(&self, time: i64, scope: Option<u32>, one: impl Fn(u32, u32) -> bool) -> Option<Held> {
        let (early, late) = (
            time.saturating_sub(SLACK_MICROS),
            time.saturating_add(SLACK_MICROS),
        );
        let end = self.holds.partition_point(|hold| hold.can_from <= late);
        let near = || {
            let reach = &self.reach;
            (0..end)
                .rev()
                .take_while(move |&place| reach[place] >= early)
                .map(|place| &self.holds[place])
                .filter(move |hold| hold.can_to >= early)
        };
        // Holders of another VPC count only if there is nobody in this one.
        let here = scope.is_some() && near().any(|hold| hold.scope == scope);
        let near = || near().filter(|hold| !here || hold.scope == scope || hold.scope.is_none());
        let first = near().next()?;
        let in_scope = here && near().all(|hold| hold.scope == scope);
        let sole = |mut holds: Box<dyn Iterator<Item = &Hold> + '_>| {
            let first = holds.next()?;
            holds.all(|hold| one(hold.owner, first.owner)).then_some(*first)
        };
        let held = |owner, certainty, method| {
            Some(Held {
                owner,
                certainty,
                method,
            })
        };
        let (hold, certainty, method) = if near().all(|hold| one(hold.owner, first.owner)) {
            let known = |hold: &&Hold| hold.from <= time && hold.known_to >= time;
            let nearly = |hold: &&Hold| hold.from <= late && hold.known_to >= early;
            match (near().find(known), near().find(nearly)) {
                (Some(hold), _) => (*hold, Certainty::Certain, Method::Address),
                (None, Some(hold)) => (*hold, Certainty::Likely, Method::Edge),
                (None, None) => (*first, Certainty::Likely, Method::NotSeenThen),
            }
        } else {
            let covers = |hold: &&Hold| hold.from <= time && hold.known_to >= time;
            let can_cover = |hold: &&Hold| hold.can_from <= time && hold.can_to >= time;
            let by_knowledge = sole(Box::new(near().filter(covers)));
            let nobody = !near().any(|hold| covers(&hold));
            match by_knowledge {
                Some(hold) => (hold, Certainty::Likely, Method::NearChange),
                None => match nobody.then(|| sole(Box::new(near().filter(can_cover)))).flatten() {
                    Some(hold) => (hold, Certainty::Likely, Method::NotSeenThen),
                    None => return held(None, Certainty::Ambiguous, Method::SeveralHolders),
                },
            }
        };
        match (in_scope, certainty) {
            (false, Certainty::Certain) => held(Some(hold.owner), Certainty::Likely, Method::ScopeUnknown),
            _ => held(Some(hold.owner), certainty, method),
        }
    }

    /// All that can have held it around `time`.
    pub fn near(&self, time: i64) -> impl Iterator<Item = &Hold> {
        let (early, late) = (
            time.saturating_sub(SLACK_MICROS),
            time.saturating_add(SLACK_MICROS),
        );
        self.holds
            .iter()
            .filter(move |hold| hold.can_from <= late && hold.can_to >= early)
    }
}

fn same(one: Option<u32>, other: Option<u32>) -> bool {
    one == other || one.is_none() || other.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;

    fn hold(owner: u32, from: i64, to: i64, ended: bool) -> Hold {
        Hold {
            can_from: from * MINUTE,
            from: from * MINUTE,
            known_to: to * MINUTE,
            ended,
            can_to: 0,
            owner,
            scope: Some(1),
        }
    }

    fn at(holds: &Holds, minute: i64) -> Option<(Option<u32>, &'static str)> {
        let held = holds.at(minute * MINUTE, Some(1), |one, other| one == other)?;
        Some((held.owner, held.certainty.name()))
    }

    #[test]
    fn one_address_that_goes_from_hand_to_hand() {
        let holds = Holds::new(vec![hold(2, 100, 200, true), hold(1, 0, 60, true)]);
        let answers = [-11, -9, 30, 69, 71, 89, 91, 150, 209, 211].map(|minute| at(&holds, minute));
        let certain = |owner| Some((Some(owner), "certain"));
        let likely = |owner| Some((Some(owner), "likely"));
        assert_eq!(
            answers,
            [
                None,
                likely(1),
                certain(1),
                likely(1),
                None,
                None,
                likely(2),
                certain(2),
                likely(2),
                None
            ]
        );
    }

    #[test]
    fn near_a_change_nothing_is_certain() {
        let holds = Holds::new(vec![hold(1, 0, 60, true), hold(2, 62, 200, true)]);
        let answers = [45, 59, 61, 62, 69, 73].map(|minute| at(&holds, minute));
        let likely = |owner| Some((Some(owner), "likely"));
        let certain = |owner| Some((Some(owner), "certain"));
        assert_eq!(
            answers,
            [
                certain(1),
                likely(1),
                Some((None, "ambiguous")),
                likely(2),
                likely(2),
                certain(2)
            ]
        );
    }

    #[test]
    fn without_an_end_it_lasts_until_the_next_but_is_less_sure() {
        let holds = Holds::new(vec![hold(1, 0, 60, false), hold(2, 500, 600, false)]);
        let answers = [60, 80, 480, 501, 520, 700].map(|minute| at(&holds, minute));
        let likely = |owner| Some((Some(owner), "likely"));
        let certain = |owner| Some((Some(owner), "certain"));
        assert_eq!(
            answers,
            [certain(1), likely(1), likely(1), likely(2), certain(2), likely(2)]
        );
    }

    #[test]
    fn overlaps_are_ambiguous_and_other_networks_do_not_answer_for_this_one() {
        let holds = Holds::new(vec![hold(1, 0, 100, true), hold(2, 50, 150, true)]);
        assert_eq!(at(&holds, 75), Some((None, "ambiguous")));
        let mut elsewhere = hold(3, 0, 100, true);
        elsewhere.scope = Some(2);
        let holds = Holds::new(vec![hold(1, 0, 100, true), elsewhere]);
        assert_eq!(at(&holds, 50), Some((Some(1), "certain")));
        let holds = Holds::new(vec![elsewhere]);
        assert_eq!(at(&holds, 50), Some((Some(3), "likely")));
        let nowhere = holds.at(50 * MINUTE, None, |one, other| one == other);
        assert_eq!(nowhere.map(|held| held.certainty), Some(Certainty::Likely));
    }
}
