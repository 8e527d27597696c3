//! Speed and size, each beside what it is compared with: medians and ratios of one run, contestants taking turns.

mod cni;
mod routes;
mod table;
mod weight;

use anyhow::Result;

/// One figure of ours with its limit.
#[derive(Debug, Clone)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// What came out, with its unit.
    pub ours: String,
    /// What it is compared with.
    pub beside: String,
    /// Ours divided by the other, or by the limit.
    pub ratio: f64,
    /// The ratio that was promised.
    pub promised: f64,
}

impl Figure {
    /// Whether the promise holds.
    pub fn holds(&self) -> bool {
        self.ratio <= self.promised
    }
}

/// One of the benches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Name {
    /// CNI ADD and DEL.
    Cni,
    /// Routes into the kernel, without a router.
    Routes,
    /// Routes by BGP into the kernel.
    Table,
    /// Memory and idle CPU.
    Weight,
}

/// Runs one bench, or every one; `say` hears what goes on.
pub fn run(only: Option<Name>, rounds: usize, say: fn(&str)) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for name in [Name::Cni, Name::Routes, Name::Table, Name::Weight] {
        if only.is_none_or(|only| only == name) {
            figures.extend(match name {
                Name::Cni => cni::run(rounds, say)?,
                Name::Routes => routes::run(say)?,
                Name::Table => table::run(say)?,
                Name::Weight => weight::run(rounds, say)?,
            });
        }
    }
    Ok(figures)
}

/// All figures, for people.
pub fn print(figures: &[Figure]) -> String {
    let mut text = format!("{:<44} {:>12}   {:<34} {:>7} {:>9}\n", "WHAT", "OURS", "BESIDE", "RATIO", "PROMISED");
    for figure in figures {
        let verdict = if figure.holds() { "" } else { "   ← not kept" };
        text += &format!(
            "{:<44} {:>12}   {:<34} {:>7.3} {:>9}{verdict}\n",
            figure.what,
            figure.ours,
            figure.beside,
            figure.ratio,
            format!("≤ {:.3}", figure.promised)
        );
    }
    text
}

/// The middle one; of nothing, not a number.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
