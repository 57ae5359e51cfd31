//! Steps with headings and times, and the table at the end.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How a step ended.
pub(crate) enum Outcome {
    /// It did what it should.
    Passed,
    /// It could not be done here; says why, by name.
    Skipped(String),
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Passed => formatter.write_str("ok"),
            Self::Skipped(why) => formatter.write_str(why),
        }
    }
}

enum Verdict {
    Passed,
    Skipped(String),
    Failed(String),
}

/// Runs steps one after the other, going on after a failure, and remembers how each ended.
pub(crate) struct Report {
    skips_fail: bool,
    rows: Vec<(&'static str, Verdict, Duration)>,
}

impl Report {
    /// With `skips_fail` a step that was skipped counts as failed.
    pub(crate) fn new(skips_fail: bool) -> Self {
        Self {
            skips_fail,
            rows: Vec::new(),
        }
    }

    /// Runs one step under a heading.
    pub(crate) fn step(&mut self, name: &'static str, step: impl FnOnce() -> Result<Outcome>) {
        println!("\n━━━ {name} ━━━");
        let start = Instant::now();
        let verdict = match step() {
            Ok(Outcome::Passed) => Verdict::Passed,
            Ok(Outcome::Skipped(why)) if self.skips_fail => {
                Verdict::Failed(format!("skipped, and CI is set: {why}"))
            }
            Ok(Outcome::Skipped(why)) => Verdict::Skipped(why),
            Err(error) => Verdict::Failed(format!("{error:#}")),
        };
        match &verdict {
            Verdict::Passed => {}
            Verdict::Skipped(why) => println!("skipped: {why}"),
            Verdict::Failed(why) => println!("FAILED: {why}"),
        }
        self.rows.push((name, verdict, start.elapsed()));
    }

    /// Prints the table and fails if any step did.
    pub(crate) fn finish(self) -> Result<()> {
        println!("\n━━━ summary ━━━");
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        for (name, verdict, time) in &self.rows {
            let (word, why) = match verdict {
                Verdict::Passed => {
                    passed += 1;
                    ("ok", "")
                }
                Verdict::Skipped(why) => {
                    skipped += 1;
                    ("skipped", why.as_str())
                }
                Verdict::Failed(why) => {
                    failed += 1;
                    ("FAILED", why.as_str())
                }
            };
            let seconds = time.as_secs_f64();
            let line = format!("{name:<22} {word:<8} {seconds:>7.1} s  {why}");
            println!("{}", line.trim_end());
        }
        println!("\nsteps: {passed} passed, {failed} failed, {skipped} skipped");
        if failed > 0 {
            bail!("{failed} of {} steps failed", self.rows.len());
        }
        Ok(())
    }
}
