//! The figures as a picture: the share of the copy's bandwidth over classes, on the GPU and beside
//! it on the CPU; and time over rows.

use std::collections::BTreeMap;

use surprisal::Dtype;

use crate::bench::case::{Case, Operation};
use crate::bench::measure::Who;
use crate::bench::report::{Report, Row};
use crate::bench::svg::{Axis, Marker, Panel, Picture, Scale, Style};

/// A panel, and what is around it.
const WIDTH: f64 = 330.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 74.0;
const TOP: f64 = 64.0;
const BELOW: f64 = 86.0;
/// From one panel to the next one beside it.
const STEP: f64 = WIDTH + LEFT + 6.0;
const LEGEND: f64 = 176.0;

type Points = Vec<(f64, f64)>;

pub(crate) fn draw(report: &Report) -> String {
    let shares = shares(report);
    let times = times(report);
    let columns = shares.len().max(times.len()) as f64;
    let size = (columns * STEP + LEGEND, TOP + 2.0 * HEIGHT + BELOW + 52.0);
    let mut picture = Picture::new(size.0, size.1);
    picture.text((LEFT, 24.0), "font-size=\"12\"", &devices(report));
    for (line, panels) in [shares, times].iter().enumerate() {
        for (column, panel) in panels.iter().enumerate() {
            let left = LEFT + column as f64 * STEP;
            let top = TOP + line as f64 * (HEIGHT + BELOW);
            picture.panel(panel, [left, top, WIDTH, HEIGHT]);
        }
    }
    legend(&mut picture, report, columns * STEP + 20.0);
    picture.finish()
}

fn devices(report: &Report) -> String {
    let name = |it: &crate::bench::report::DeviceReport| {
        let kind = if it.is_software_driver { "software driver" } else { &it.kind };
        format!("{kind}: {}", it.name)
    };
    report.devices.iter().map(name).collect::<Vec<_>>().join("; ")
}

/// Okabe and Ito's: colour-blind readers can tell them apart.
fn colour(operation: Operation) -> &'static str {
    match operation {
        Operation::Loss => "#E69F00",
        Operation::LossGradient => "#0072B2",
        Operation::Softmax => "#009E73",
        Operation::LogSoftmax => "#CC79A7",
    }
}

fn dashes(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Bf16 => "7 3",
        Dtype::F16 => "2 3",
        _ => "",
    }
}

/// Who is the device of a report beside the CPU path.
fn other(report: &Report) -> Option<(Who, &'static str)> {
    match report.devices.get(1)?.kind.as_str() {
        "gpu" => Some((Who::Resident, "GPU, data resident")),
        _ => Some((Who::Reference, "reference")),
    }
}

/// Those of each operation and dtype, in the order that they were measured in.
fn lines(
    report: &Report,
    who: Who,
    of: impl Fn(&[&Row]) -> Points,
) -> Vec<(Operation, Dtype, Points)> {
    let mut kinds: Vec<(Operation, Dtype)> = Vec::new();
    let kind = |case: &Case| (case.operation, case.dtype);
    for row in &report.rows {
        if !kinds.contains(&kind(&row.case)) {
            kinds.push(kind(&row.case));
        }
    }
    let line = |(operation, dtype)| {
        let is_of = |row: &&Row| row.who == who && kind(&row.case) == (operation, dtype);
        let rows: Vec<_> = report.rows.iter().filter(is_of).collect();
        (operation, dtype, of(&rows))
    };
    kinds.into_iter().map(line).filter(|(.., points)| !points.is_empty()).collect()
}

/// The share of the copy in the largest matrix of each number of classes.
fn share_points(rows: &[&Row]) -> Points {
    let mut largest = BTreeMap::new();
    for row in rows {
        let best = largest.entry(row.case.shape.classes).or_insert(*row);
        if row.case.shape.rows > best.case.shape.rows {
            *best = row;
        }
    }
    largest.iter().map(|(classes, row)| (*classes as f64, 100.0 * row.share_of_copy)).collect()
}

fn shares(report: &Report) -> Vec<Panel> {
    let parts = other(report).into_iter().chain([(Who::Cpu, "CPU path")]);
    let parts: Vec<_> = parts.map(|(who, name)| (name, lines(report, who, share_points))).collect();
    let all = || parts.iter().flat_map(|(_, lines)| lines).flat_map(|(.., points)| points);
    let x = Axis::log("classes", all().map(|point| point.0), count);
    let top = all().map(|point| point.1).fold(100.0, f64::max);
    let y = Axis {
        name: "share of the copy's bandwidth".to_owned(),
        scale: Scale::Linear,
        range: (0.0, (top * 1.06 / 20.0).ceil() * 20.0),
        label: |share| format!("{share:.0} %"),
    };
    let panel = |(name, lines): &(&str, Vec<(Operation, Dtype, Points)>)| Panel {
        title: format!("{name}: share of the copy"),
        x: x.clone(),
        y: y.clone(),
        lines: lines
            .iter()
            .map(|(operation, dtype, points)| {
                let (colour, dashes) = (colour(*operation), dashes(*dtype));
                (Style { colour, dashes, width: 2.0, marker: Marker::Disc }, points.clone())
            })
            .collect(),
        mark: Some((100.0, "a copy of the same matrix")),
    };
    parts.iter().map(panel).collect()
}

/// The number of classes that was measured with the most numbers of rows, and how many these are.
fn swept(report: &Report) -> Option<(usize, usize)> {
    let mut rows = BTreeMap::<_, Vec<usize>>::new();
    for row in &report.rows {
        let shape = row.case.shape;
        let seen = rows.entry(shape.classes).or_default();
        if !seen.contains(&shape.rows) {
            seen.push(shape.rows);
        }
    }
    rows.into_iter().map(|(classes, rows)| (rows.len(), classes)).max().map(|(n, c)| (c, n))
}

fn times(report: &Report) -> Vec<Panel> {
    let Some((classes, _)) = swept(report) else { return Vec::new() };
    let Some(dtype) = report.rows.first().map(|row| row.case.dtype) else { return Vec::new() };
    let points = |rows: &[&Row]| {
        let is_of = |row: &&&Row| row.case.shape.classes == classes && row.case.dtype == dtype;
        let rows = rows.iter().filter(is_of);
        let mut points: Points =
            rows.map(|row| (row.case.shape.rows as f64, row.seconds)).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    };
    let style = |operation, who| Style {
        colour: colour(operation),
        dashes: "",
        width: if who == Who::Cpu { 1.2 } else { 2.0 },
        marker: if who == Who::Cpu { Marker::Ring } else { Marker::Disc },
    };
    let of = |who| {
        let lines = lines(report, who, points).into_iter();
        lines.map(move |(operation, _, points)| (style(operation, who), points))
    };
    let mut parts = vec![(vec![Who::Cpu], "")];
    match other(report) {
        Some((Who::Resident, _)) => {
            parts = vec![
                (vec![Who::Cpu, Who::Resident], ", GPU data resident"),
                (vec![Who::Cpu, Who::HostToHost], ", GPU with transfer"),
            ];
        }
        Some((who, _)) => parts[0].0.push(who),
        None => {}
    }
    let parts: Vec<_> = parts
        .into_iter()
        .map(|(who, name)| (name, who.into_iter().flat_map(of).collect::<Vec<_>>()))
        .collect();
    let all = || parts.iter().flat_map(|(_, lines)| lines).flat_map(|(_, points)| points);
    let x = Axis::log("rows", all().map(|point| point.0), count);
    let y = Axis::log("time of a call", all().map(|point| point.1), duration);
    let guide = all().max_by(|a, b| a.1.total_cmp(&b.1)).map(|most| proportional(*most, &x, &y));
    let panel = |(name, mut lines): (&str, Vec<(Style, Points)>)| {
        lines.splice(0..0, guide.clone().map(|guide| (GUIDE, guide)));
        Panel {
            title: format!("Time over rows of {classes} classes, {dtype}{name}"),
            x: x.clone(),
            y: y.clone(),
            lines,
            mark: None,
        }
    };
    parts.into_iter().map(panel).collect()
}

/// What a time that is proportional to the rows looks like.
const GUIDE: Style = Style { colour: "#999", dashes: "1 3", width: 1.2, marker: Marker::None };

/// The proportional line through a point, within the axes.
fn proportional((rows, seconds): (f64, f64), x: &Axis, y: &Axis) -> Points {
    let low = x.range.0.max(rows * y.range.0 / seconds);
    let high = x.range.1.min(rows * y.range.1 / seconds);
    [low, high].map(|at| (at, at * seconds / rows)).to_vec()
}

fn legend(picture: &mut Picture, report: &Report, left: f64) {
    let mut y = TOP + 6.0;
    let mut entry = |picture: &mut Picture, style: Option<Style>, text: &str| {
        if let Some(style) = style {
            let points = [(left, y), (left + 30.0, y)];
            picture.line(Style { marker: Marker::None, ..style }, &points);
            picture.line(Style { width: 0.0, ..style }, &[(left + 15.0, y)]);
            picture.text((left + 38.0, y + 4.0), "", text);
        } else {
            y += 8.0;
            picture.text((left, y), "font-weight=\"bold\"", text);
        }
        y += 18.0;
    };
    let plain = Style { colour: "#555", dashes: "", width: 2.0, marker: Marker::None };
    entry(picture, None, "operation");
    let all = lines(report, Who::Cpu, share_points);
    let mut seen = Vec::new();
    for (operation, ..) in &all {
        if !seen.contains(operation) {
            seen.push(*operation);
            let style = Style { colour: colour(*operation), ..plain };
            entry(picture, Some(style), operation.name());
        }
    }
    entry(picture, None, "stored as, above");
    let mut seen = Vec::new();
    for (_, dtype, _) in &all {
        if !seen.contains(dtype) {
            seen.push(*dtype);
            let style = Style { dashes: dashes(*dtype), ..plain };
            entry(picture, Some(style), &dtype.to_string());
        }
    }
    if let Some((who, _)) = other(report) {
        let name = if who == Who::Resident { "GPU" } else { "reference" };
        entry(picture, None, "time, below");
        entry(picture, Some(Style { marker: Marker::Disc, ..plain }), name);
        let style = Style { width: 1.2, marker: Marker::Ring, ..plain };
        entry(picture, Some(style), "CPU path");
    } else {
        entry(picture, None, "time, below");
    }
    entry(picture, Some(GUIDE), "proportional to rows");
}

/// 1000 as 1k.
fn count(x: f64) -> String {
    match x {
        1e6.. => format!("{:.0}M", x / 1e6),
        1e3.. => format!("{:.0}k", x / 1e3),
        _ => format!("{x:.0}"),
    }
}

fn duration(seconds: f64) -> String {
    match seconds {
        0.999.. => format!("{seconds:.0} s"),
        0.999e-3.. => format!("{:.0} ms", seconds * 1e3),
        0.999e-6.. => format!("{:.0} \u{b5}s", seconds * 1e6),
        _ => format!("{:.0} ns", seconds * 1e9),
    }
}
