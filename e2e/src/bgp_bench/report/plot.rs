//! The plot: one line for each figure, a dot for each contestant, ours as the middle line of a logarithmic axis.

use std::fmt::Write;

use super::super::contestant::Contestant;
use super::super::scenario;
use super::page::rows;
use super::{Medians, Metric};

const WIDTH: f64 = 1000.0;
const LINE: f64 = 19.0;
const TOP: f64 = 84.0;
/// Where the axis begins and how long it is.
const AXIS: f64 = 330.0;
const LENGTH: f64 = 640.0;
/// The ends of the axis, as powers of two.
const FROM: f64 = -3.0;
const TO: f64 = 9.0;

fn colour(contestant: Contestant) -> &'static str {
    match contestant {
        Contestant::Margay => "#111111",
        Contestant::Bird => "#d62728",
        Contestant::Frr => "#1f77b4",
        Contestant::Gobgp => "#2ca02c",
        Contestant::Openbgpd => "#9467bd",
    }
}

/// Where a ratio is on the axis; what is beyond an end stands at it.
fn place(ratio: f64) -> f64 {
    AXIS + (ratio.log2().clamp(FROM, TO) - FROM) / (TO - FROM) * LENGTH
}

/// An SVG image.
pub fn plot(medians: &Medians) -> String {
    let mut body = String::new();
    let mut y = TOP;
    for scenario in scenario::all() {
        let mut lines = String::new();
        let title = y + LINE;
        let mut line = title + LINE;
        for (step, metrics) in rows(&scenario) {
            for metric in metrics.into_iter().filter(|metric| !matches!(metric, Metric::Lost | Metric::Silence)) {
                if row(&mut lines, medians, scenario.name, &step, metric, line) {
                    line += LINE;
                }
            }
        }
        if !lines.is_empty() {
            let _ = writeln!(body, r#"<text x="12" y="{title}" font-weight="bold">{}</text>"#, scenario.title);
            body += &lines;
            y = line;
        }
    }
    let height = y + 24.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{}{}{body}</svg>\n",
        legend(),
        axis(height - 16.0)
    )
}

fn legend() -> String {
    let mut text = String::from(
        "<text x=\"12\" y=\"22\" font-size=\"15\" font-weight=\"bold\">How many times ours (right of the line: ours needs less)</text>\n",
    );
    for (contestant, number) in Contestant::ALL.iter().skip(1).zip(0..) {
        let x = AXIS + f64::from(number) * 110.0;
        let colour = colour(*contestant);
        let _ = writeln!(
            text,
            r#"<circle cx="{x}" cy="42" r="5" fill="{colour}"/><text x="{}" y="46">{contestant}</text>"#,
            x + 10.0
        );
    }
    text
}

fn axis(bottom: f64) -> String {
    let mut text = String::new();
    for power in FROM as i32..=TO as i32 {
        let ratio = f64::from(power).exp2();
        let x = place(ratio);
        let (colour, width) = if power == 0 { (colour(Contestant::Margay), 2) } else { ("#dddddd", 1) };
        let label = match power {
            ..0 => format!("1/{}", 1 << -power),
            0 => "margay".into(),
            _ => format!("{ratio}×"),
        };
        let _ = writeln!(
            text,
            r##"<line x1="{x}" y1="{TOP}" x2="{x}" y2="{bottom}" stroke="{colour}" stroke-width="{width}"/><text x="{x}" y="{}" text-anchor="middle" fill="#555555">{label}</text>"##,
            TOP - 8.0
        );
    }
    text
}

/// One line; false where there is nothing to compare.
fn row(text: &mut String, medians: &Medians, scenario: &str, step: &str, metric: Metric, y: f64) -> bool {
    let figure = |who| medians.get(scenario, step, who, metric);
    let Some(ours) = figure(Contestant::Margay).filter(|ours| *ours > 0.0) else { return false };
    let others: Vec<(Contestant, f64)> =
        Contestant::ALL.into_iter().skip(1).filter_map(|who| Some((who, figure(who)? / ours))).collect();
    if others.is_empty() {
        return false;
    }
    let _ = writeln!(
        text,
        r##"<text x="24" y="{y}" fill="#333333">{step}, {}</text><text x="{}" y="{y}" text-anchor="end">{}</text>"##,
        metric.name(),
        AXIS - 16.0,
        metric.print(ours)
    );
    for (who, ratio) in others {
        let (x, colour) = (place(ratio), colour(who));
        let _ = writeln!(
            text,
            r#"<circle cx="{x:.1}" cy="{}" r="5" fill="{colour}" fill-opacity="0.85"><title>{who}: {} ({ratio:.2}×)</title></circle>"#,
            y - 4.0,
            metric.print(ratio * ours)
        );
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_stands_at_the_line_and_what_is_off_the_axis_at_its_end() {
        assert!(place(1.0) > AXIS && place(2.0) > place(1.0) && place(0.5) < place(1.0));
        assert!((place(1e9) - (AXIS + LENGTH)).abs() < 1e-9);
        assert!((place(1e-9) - AXIS).abs() < 1e-9);
    }
}
