//! Printing: tables for people, JSON and YAML for programs.

use std::io::{self, ErrorKind, Write};

use clap::ValueEnum;
use comfy_table::{Cell, LineStyle, Table, presets};
use serde::Serialize;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The usual columns.
    #[value(alias = "ps")]
    Table,
    /// More columns.
    Wide,
    /// All fields, for programs.
    Json,
    /// All fields.
    Yaml,
}

/// How many columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    Normal,
    Wide,
}

/// What stands for nothing.
pub const NOTHING: &str = "-";

/// A table without lines, as `calicoctl get` and `kubectl get` print it. Columns marked [`Detail::Wide`] are left out
/// of the normal one.
pub fn columns<T>(rows: &[T], detail: Detail, columns: &[Column<'_, T>]) -> String {
    let shown: Vec<&Column<'_, T>> =
        columns.iter().filter(|c| c.detail == Detail::Normal || c.detail == detail).collect();
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(shown.iter().map(|c| c.title));
    for row in rows {
        table.add_row(shown.iter().map(|c| {
            let text = (c.text)(row);
            Cell::new(if text.is_empty() { NOTHING.to_string() } else { text })
        }));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    trimmed(&table)
}

/// One column: its title, whether it is only for wide tables, and a row's text.
pub struct Column<'a, T> {
    title: &'static str,
    detail: Detail,
    text: Box<dyn Fn(&T) -> String + 'a>,
}

/// A column of every table.
pub fn column<'a, T>(title: &'static str, text: impl Fn(&T) -> String + 'a) -> Column<'a, T> {
    Column { title, detail: Detail::Normal, text: Box::new(text) }
}

/// A column of wide tables.
pub fn wide<'a, T>(title: &'static str, text: impl Fn(&T) -> String + 'a) -> Column<'a, T> {
    Column { title, detail: Detail::Wide, text: Box::new(text) }
}

/// A table in a frame, as `calicoctl node status` and `calicoctl ipam show` print it.
pub fn framed(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_FULL_CONDENSED.header_separator(LineStyle::new('+', '-', '+', '+')));
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    trimmed(&table)
}

fn trimmed(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_string() + "\n").collect()
}

/// A list in one cell.
pub fn joined<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// What may be absent.
pub fn optional<T: ToString>(item: &Option<T>) -> String {
    item.as_ref().map(ToString::to_string).unwrap_or_default()
}

/// `1 error`, `2 errors`.
pub fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Prints JSON or YAML.
pub fn print_structured<T: Serialize>(view: &T, format: Format) -> anyhow::Result<()> {
    print(&match format {
        Format::Yaml => serde_saphyr::to_string(view)?,
        _ => serde_json::to_string_pretty(view)? + "\n",
    })
}

/// Writes to stdout. A reader that has seen enough (`| head`) is no error.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
