//! The figures as text.

use crate::bench::case::Case;
use crate::bench::measure::Who;
use crate::bench::report::{Report, Row};
use crate::bench::verdict::Win;

pub(crate) fn text(report: &Report) -> String {
    let mut text = heading(report);
    let mut cases: Vec<Case> = Vec::new();
    for row in &report.rows {
        if !cases.contains(&row.case) {
            cases.push(row.case);
        }
    }
    let table = |case: &Case| (case.operation, case.dtype);
    for part in cases.chunk_by(|a, b| table(a) == table(b)) {
        text += &head(part[0], report);
        for case in part {
            text += &line(*case, report);
        }
    }
    for skipped in &report.skipped {
        text += &format!("\nnot on the GPU: {}: {}\n", skipped.case, skipped.reason);
    }
    let sentences: Vec<_> =
        report.gpu_wins.iter().filter(|win| win.is_of_a_range()).map(Win::sentence).collect();
    if !sentences.is_empty() {
        text += &format!("\n{}\n", sentences.join("\n"));
    }
    text
}

fn heading(report: &Report) -> String {
    let mut text = String::new();
    for device in &report.devices {
        text += &format!("{}: {}, {}", device.kind, device.name, device.backend);
        text += if device.is_software_driver { "; a software driver, not a GPU\n" } else { "\n" };
    }
    text += "Medians of rounds in which everybody has a turn. GB/s are of the bytes that have to be \
             moved;\n`share` is of the bandwidth of a copy of the same matrix, in the same rounds.\n";
    let resident = report.rows.iter().find(|row| row.who == Who::Resident);
    text += match resident.map(|row| row.clock) {
        Some("timestamps") => {
            "GPU times are the GPU's own, by timestamps; with transfer, and on the CPU, wall clock.\n"
        }
        Some(_) => "All times are wall clock: the GPU's timestamps do not work here.\n",
        None => "All times are wall clock.\n",
    };
    text
}

/// The columns of those who are measured beside each other.
const PARTS: [(Who, &str); 4] = [
    (Who::Cpu, "CPU path"),
    (Who::Reference, "reference"),
    (Who::Resident, "GPU, data resident"),
    (Who::HostToHost, "GPU, with transfer"),
];

fn parts(report: &Report) -> impl Iterator<Item = (Who, &'static str)> {
    PARTS.into_iter().filter(|(who, _)| report.rows.iter().any(|row| row.who == *who))
}

fn head(case: Case, report: &Report) -> String {
    let moved = if case.operation.passes() == 1 { "one read" } else { "one read and one write" };
    let mut text = format!("\n{}, {}: {moved}\n{:>16}", case.operation.name(), case.dtype, "");
    for (who, name) in parts(report) {
        text += &format!(" |{name:^0$}", columns(who, "").len());
    }
    text += &format!("\n{:>16}", "rows x classes");
    for (who, _) in parts(report) {
        text += " |";
        text += &columns(who, "head");
    }
    text + "\n"
}

/// The names of the columns, or as much space.
fn columns(who: Who, of: &str) -> String {
    let names = ["ms", "GB/s", "share", "copy GB/s", "encode \u{b5}s"];
    let [ms, speed, share, copy, encode] = if of.is_empty() { [""; 5] } else { names };
    let mut text = format!("{ms:>10}{speed:>8}{share:>7}");
    if matches!(who, Who::Cpu | Who::Resident) {
        text += &format!("{copy:>11}");
    }
    if who == Who::Resident {
        text += &format!("{encode:>11}");
    }
    text
}

fn line(case: Case, report: &Report) -> String {
    let mut text = format!("{:>16}", case.shape);
    for (who, _) in parts(report) {
        text += " |";
        text += &match report.row(case, who) {
            Some(row) => figures(row, report),
            None => columns(who, ""),
        };
    }
    text.trim_end().to_owned() + "\n"
}

fn figures(row: &Row, report: &Report) -> String {
    let share = format!("{:.0} %", 100.0 * row.share_of_copy);
    let (ms, speed) = (digits(1e3 * row.seconds), digits(row.gigabytes_per_second));
    let mut text = format!("{ms:>10}{speed:>8}{share:>7}");
    let copy = match row.who {
        Who::Cpu => report.row(row.case, Who::HostCopy),
        Who::Resident => report.row(row.case, Who::GpuCopy),
        _ => return text,
    };
    let speed = copy.map_or(String::new(), |copy| digits(copy.gigabytes_per_second));
    text += &format!("{speed:>11}");
    if let Some(encode) = row.encode_seconds {
        text += &format!("{:>11}", digits(1e6 * encode));
    }
    text
}

/// Three digits, or all before the point.
pub(crate) fn digits(value: f64) -> String {
    let places = match value {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        0.1.. => 3,
        _ => 4,
    };
    format!("{value:.places$}")
}
