//! Which columns of a table are shown, and how wide.

use super::{GAP, PADDING_MAX};

/// What a text column can be cut down to before columns are left out.
const TEXT_MIN: usize = 12;

/// Widest cell where all columns are asked for: lines may be long then, but
/// one cell must not push the others out of sight.
const CELL_MAX: usize = 100;

/// What a column would like.
#[derive(Debug, Clone, Copy)]
pub struct Want {
    /// Width of its name.
    pub header: usize,
    /// Width of its widest cell.
    pub cells: usize,
    /// Whether it makes no sense when cut.
    pub rigid: bool,
    /// Whether it is set to the right.
    pub right: bool,
    /// Whether it holds nothing but NULL.
    pub empty: bool,
}

impl Want {
    fn natural(&self) -> usize {
        self.header.max(self.cells).max(1)
    }

    fn least(&self) -> usize {
        if self.rigid {
            self.natural()
        } else {
            self.natural().min(TEXT_MIN)
        }
    }
}

/// A column as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Its place in the schema; `None` stands for those left out.
    pub index: Option<usize>,
    /// Its width.
    pub width: usize,
    /// Whether it is set to the right.
    pub right: bool,
}

/// The columns that are shown.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// From left to right.
    pub columns: Vec<Shown>,
    /// How many are not.
    pub elided: usize,
    /// How many of those hold nothing but NULL.
    pub elided_empty: usize,
}

impl Plan {
    /// Fits columns into a window of so many columns. If it must, it leaves out
    /// empty ones, then middle ones: first and last columns say most, what it
    /// is and where it is from.
    pub fn new(wants: &[Want], window: Option<usize>, all_columns: bool) -> Plan {
        let cap = match window {
            None => Some(PADDING_MAX),
            Some(_) if all_columns => Some(CELL_MAX),
            Some(_) => None,
        };
        if let Some(cap) = cap {
            let shown =
                |(index, want): (usize, &Want)| show(index, want, want.natural().min(cap.max(want.least())));
            return Plan {
                columns: wants.iter().enumerate().map(shown).collect(),
                elided: 0,
                elided_empty: 0,
            };
        }
        let room = window.unwrap_or(usize::MAX);
        let all: Vec<usize> = (0..wants.len()).collect();
        let full: Vec<usize> = all.iter().copied().filter(|&index| !wants[index].empty).collect();
        let candidates = if least(wants, &all) <= room || full.is_empty() {
            all
        } else {
            full
        };
        let (front, back) = choose(wants, &candidates, room);
        let is_cut = front + back < candidates.len();
        let mut kept = candidates[..front].to_vec();
        kept.extend(&candidates[candidates.len() - back..]);
        let marks = if is_cut { 1 + GAP.len() } else { 0 };
        let gaps = GAP.len() * kept.len().saturating_sub(1);
        let widths = share(wants, &kept, room.saturating_sub(marks + gaps));
        let mut columns: Vec<Shown> = kept
            .iter()
            .zip(widths)
            .map(|(&index, width)| show(index, &wants[index], width))
            .collect();
        if is_cut {
            columns.insert(
                front,
                Shown {
                    index: None,
                    width: 1,
                    right: false,
                },
            );
        }
        let elided_empty = (0..wants.len())
            .filter(|index| wants[*index].empty && !kept.contains(index))
            .count();
        Plan {
            columns,
            elided: wants.len() - kept.len(),
            elided_empty,
        }
    }
}

fn show(index: usize, want: &Want, width: usize) -> Shown {
    Shown {
        index: Some(index),
        width,
        right: want.right,
    }
}

/// The width of a line with all of these columns at their least.
fn least(wants: &[Want], columns: &[usize]) -> usize {
    let widths: usize = columns.iter().map(|&index| wants[index].least()).sum();
    widths + GAP.len() * columns.len().saturating_sub(1)
}

/// How many of the candidates to keep in front and at the back, each at its
/// least width.
fn choose(wants: &[Want], candidates: &[usize], room: usize) -> (usize, usize) {
    if least(wants, candidates) <= room {
        return (candidates.len(), 0);
    }
    // The mark of what is left out needs its place.
    let room = room.saturating_sub(1);
    let (mut front, mut back, mut used) = (0, 0, 0);
    while front + back < candidates.len() {
        let at_front = front < 2 * (back + 1);
        let next = if at_front {
            candidates[front]
        } else {
            candidates[candidates.len() - 1 - back]
        };
        used += wants[next].least() + GAP.len();
        // One column is shown even where it does not fit.
        if used > room && front > 0 {
            break;
        }
        if at_front { front += 1 } else { back += 1 }
    }
    (front, back)
}

/// Widths of the kept columns: each as wide as it likes, if all fit, else the
/// widest texts give way first.
fn share(wants: &[Want], kept: &[usize], room: usize) -> Vec<usize> {
    let with_cap = |cap: usize| -> Vec<usize> {
        let width = |&index: &usize| {
            let want = &wants[index];
            if want.rigid {
                want.natural()
            } else {
                want.natural().min(cap.max(want.least()))
            }
        };
        kept.iter().map(width).collect()
    };
    let mut cap = kept
        .iter()
        .map(|&index| wants[index].natural())
        .max()
        .unwrap_or(0);
    let mut least = TEXT_MIN;
    if with_cap(cap).iter().sum::<usize>() <= room {
        return with_cap(cap);
    }
    // Invariant: `cap` is too wide, `least` fits or is the least there is.
    while cap > least + 1 {
        let middle = (cap + least) / 2;
        if with_cap(middle).iter().sum::<usize>() <= room {
            least = middle
        } else {
            cap = middle
        }
    }
    let mut widths = with_cap(least);
    // A window too narrow for even one column: cut that one, whatever it is.
    if let [only] = widths.as_mut_slice() {
        *only = (*only).min(room.max(1));
    }
    // A few columns are left over: the first texts that were cut get them.
    let mut spare = room.saturating_sub(widths.iter().sum());
    for (width, &index) in widths.iter_mut().zip(kept) {
        if spare > 0 && *width < wants[index].natural() {
            *width += 1;
            spare -= 1;
        }
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(cells: usize) -> Want {
        Want {
            header: 4,
            cells,
            rigid: false,
            right: false,
            empty: false,
        }
    }

    fn number(cells: usize) -> Want {
        Want {
            header: 4,
            cells,
            rigid: true,
            right: true,
            empty: false,
        }
    }

    fn total(plan: &Plan) -> usize {
        plan.columns.iter().map(|column| column.width).sum::<usize>()
            + GAP.len() * plan.columns.len().saturating_sub(1)
    }

    #[test]
    fn what_fits_is_left_alone() {
        let plan = Plan::new(&[text(10), number(6), text(20)], Some(80), false);
        assert_eq!(
            plan.columns.iter().map(|c| c.width).collect::<Vec<_>>(),
            [10, 6, 20]
        );
        assert_eq!(plan.elided, 0);
    }

    #[test]
    fn the_widest_text_gives_way_first() {
        let plan = Plan::new(&[text(20), number(15), text(500)], Some(80), false);
        assert_eq!(
            plan.columns.iter().map(|c| c.width).collect::<Vec<_>>(),
            [20, 15, 41]
        );
        assert_eq!(total(&plan), 80);
    }

    #[test]
    fn middle_columns_are_left_out() {
        let wants = vec![number(18); 30];
        let plan = Plan::new(&wants, Some(100), false);
        assert!(total(&plan) <= 100, "{plan:?}");
        let shown: Vec<_> = plan.columns.iter().map(|column| column.index).collect();
        assert_eq!(shown, [Some(0), Some(1), Some(2), None, Some(29)]);
        assert_eq!(plan.elided, 26);
    }

    #[test]
    fn empty_columns_go_first_and_only_if_they_must() {
        let empty = Want {
            empty: true,
            ..text(4)
        };
        let wants = [text(12), empty, empty, number(12), empty, text(12)];
        let plan = Plan::new(&wants, Some(60), false);
        assert_eq!((plan.elided, plan.elided_empty), (0, 0));
        let plan = Plan::new(&wants, Some(45), false);
        let shown: Vec<_> = plan.columns.iter().map(|column| column.index).collect();
        assert_eq!(shown, [Some(0), Some(3), Some(5)]);
        assert_eq!((plan.elided, plan.elided_empty), (3, 3));
        assert_eq!(Plan::new(&[empty; 50], Some(45), false).columns.len(), 8);
    }

    #[test]
    fn any_window_holds_something() {
        for window in 0..200 {
            for count in 1..12 {
                let wants: Vec<_> = (0..count)
                    .map(|i| if i % 3 == 0 { number(25) } else { text(i * 13) })
                    .collect();
                let plan = Plan::new(&wants, Some(window), false);
                assert!(plan.columns.iter().any(|column| column.index == Some(0)));
                assert_eq!(
                    plan.columns.iter().filter(|c| c.index.is_some()).count() + plan.elided,
                    count
                );
                if window >= 30 {
                    assert!(total(&plan) <= window, "{window} {plan:?}");
                }
            }
        }
    }

    #[test]
    fn all_columns_on_request_or_without_a_window() {
        let wants = vec![text(500); 30];
        for plan in [Plan::new(&wants, Some(80), true), Plan::new(&wants, None, false)] {
            assert_eq!((plan.columns.len(), plan.elided), (30, 0));
        }
        assert_eq!(Plan::new(&wants, Some(80), true).columns[0].width, CELL_MAX);
    }
}
