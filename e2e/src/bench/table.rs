//! What was measured, as a page of the documentation.

use std::fmt::Write;

use super::{Pairs, Spread};

/// What a line should come to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Aim {
    /// Theirs is so many times ours.
    Ratio(f64),
    /// Ours is no more, in the section's unit.
    AtMost(f64),
}

/// One thing that was measured.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) what: String,
    pub(super) pairs: Pairs,
    pub(super) aims: Vec<Aim>,
    /// Why rounds did not count.
    pub(super) voided: Vec<String>,
}

impl Line {
    pub(super) fn new(what: impl Into<String>, pairs: Pairs, aims: &[Aim]) -> Self {
        Self { what: what.into(), pairs, aims: aims.to_vec(), voided: Vec::new() }
    }

    fn ratio(&self) -> Option<Spread> {
        Spread::of_ratios(&self.pairs.theirs, &self.pairs.ours)
    }

    /// The worst round counts.
    fn verdict(&self, aim: Aim) -> String {
        let (aim, met) = match aim {
            Aim::Ratio(least) => (format!("≥ {least}×"), self.ratio().is_some_and(|ratio| ratio.min >= least)),
            Aim::AtMost(most) => {
                (format!("≤ {most}"), Spread::of(&self.pairs.ours).is_some_and(|ours| ours.max <= most))
            }
        };
        format!("{aim} {}", if met { "met" } else { "**missed**" })
    }

    fn row(&self) -> String {
        let cell = |spread: Option<Spread>| spread.map_or_else(|| "-".to_owned(), |spread| spread.to_string());
        let verdicts: Vec<_> = self.aims.iter().map(|aim| self.verdict(*aim)).collect();
        format!(
            "| {} | {} | {} | {} | {} |\n",
            self.what,
            cell(Spread::of(&self.pairs.theirs)),
            cell(Spread::of(&self.pairs.ours)),
            cell(self.ratio()),
            verdicts.join(", ")
        )
    }
}

/// What a page is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    /// As in "Benchmarks of ...".
    pub(super) title: &'static str,
    /// What `cargo e2e bench` calls it.
    pub(super) command: &'static str,
    /// The columns of both sides.
    pub(super) theirs: &'static str,
    pub(super) ours: &'static str,
}

/// Lines of one unit.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) note: &'static str,
    pub(super) lines: Vec<Line>,
}

impl Section {
    fn text(&self, subject: Subject) -> String {
        let mut text = format!("\n## {}\n\n{}\n\n", self.title, self.note);
        let _ = writeln!(text, "| | {} | {} | ratio | aim |\n|---|---|---|---|---|", subject.theirs, subject.ours);
        text.extend(self.lines.iter().map(Line::row));
        for line in &self.lines {
            for reason in &line.voided {
                let _ = write!(text, "\nA round of {} did not count: {reason}\n", line.what);
            }
        }
        text
    }
}

/// The page. `setting` says on what machine, and with what, it was measured.
pub(super) fn page(subject: Subject, setting: &str, sections: &[Section]) -> String {
    let Subject { title, command, theirs, ours } = subject;
    let mut text = format!(
        "# Benchmarks of {title}\n\nWritten by `cargo e2e bench {command}`. {setting}\n\nCells hold the median of all rounds \
         and, in brackets, the lowest and the highest. Rounds alternate between the sides; ratios are the figure of {theirs} \
         divided by that of {ours} in the same round, and an aim is met only if the worst round meets it.\n"
    );
    text.extend(sections.iter().map(|section| section.text(subject)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(theirs: &[f64], ours: &[f64], aims: &[Aim]) -> Line {
        Line::new("GET /", Pairs { theirs: theirs.to_vec(), ours: ours.to_vec() }, aims)
    }

    #[test]
    fn an_aim_is_met_by_the_worst_round_only() {
        let row = line(&[100.0, 300.0], &[1.0, 6.0], &[Aim::Ratio(60.0), Aim::AtMost(6.0)]).row();
        assert_eq!(row, "| GET / | 200 (100-300) | 3.50 (1.00-6.00) | 75.0 (50.0-100) | ≥ 60× **missed**, ≤ 6 met |\n");
    }

    #[test]
    fn what_was_not_measured_meets_nothing() {
        let row = line(&[], &[], &[Aim::Ratio(1.0)]).row();
        assert_eq!(row, "| GET / | - | - | - | ≥ 1× **missed** |\n");
    }

    #[test]
    fn rounds_that_did_not_count_are_told() {
        let mut line = line(&[1.0], &[1.0], &[]);
        line.voided.push("an answer has status 500".to_owned());
        let section = Section { title: "CPU", note: "In us.", lines: vec![line] };
        let subject = Subject { title: "a thing", command: "thing", theirs: "their thing", ours: "ours" };
        let page = page(subject, "On a machine.", &[section]);
        assert!(page.contains("A round of GET / did not count: an answer has status 500"), "{page}");
    }
}
