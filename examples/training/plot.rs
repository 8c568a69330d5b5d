//! Line charts as SVG, in colours that colour-blind readers can tell apart, and with dashes besides.

use std::error::Error;
use std::path::{Path, PathBuf};

use plotters::prelude::*;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A panel's size as shown. Drawn larger by `SCALE`, because coordinates are whole numbers.
const PANEL: (u32, u32) = (340, 290);
const SCALE: u32 = 4;
/// How long a legend's sample of a line is, as drawn.
const SAMPLE: i32 = 88;

/// Okabe and Ito's, and a line's dashes and gaps.
const STYLES: [(RGBColor, &str); 4] = [
    (RGBColor(0, 114, 178), ""),
    (RGBColor(213, 94, 0), "24 12"),
    (RGBColor(0, 158, 115), "8 8"),
    (RGBColor(204, 121, 167), "40 12"),
];

#[derive(Debug)]
pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

impl Line {
    pub fn new(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self { name: name.into(), points: points.into_iter().collect() }
    }
}

/// Axes with lines. Where a line leaves the ranges, it is cut off.
#[derive(Debug)]
pub struct Panel {
    pub title: &'static str,
    pub x: (&'static str, std::ops::Range<f64>),
    pub y: (&'static str, std::ops::Range<f64>),
    pub legend: SeriesLabelPosition,
    pub lines: Vec<Line>,
}

/// A path below the repository's root.
pub fn path(folder: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(format!("{name}.svg"))
}

/// Writes panels side by side.
pub fn draw(path: &Path, panels: &[Panel]) -> Result<()> {
    let shown = (PANEL.0 * panels.len() as u32, PANEL.1);
    let drawn = (SCALE * shown.0, SCALE * shown.1);
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, drawn).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, panel) in root.split_evenly((1, panels.len())).iter().zip(panels) {
        panel.draw(area)?;
    }
    root.present()?;
    drop(root);
    let size = |(width, height)| format!("width=\"{width}\" height=\"{height}\"");
    let mut svg = svg.replacen(&size(drawn), &size(shown), 1);
    for (RGBColor(r, g, b), dashes) in STYLES.iter().filter(|(_, dashes)| !dashes.is_empty()) {
        // A line of many short dashes would be many elements; SVG has an attribute for them.
        let stroke = format!("stroke=\"#{r:02X}{g:02X}{b:02X}\"");
        svg = svg.replace(&stroke, &format!("{stroke} stroke-dasharray=\"{dashes}\""));
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(std::fs::write(path, svg)?)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

impl Panel {
    fn draw(&self, area: &Area<'_>) -> Result<()> {
        let px = |n: u32| SCALE * n;
        let font = |n: u32| ("sans-serif", px(n));
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, font(14))
            .margin(px(6))
            .margin_right(px(14))
            .x_label_area_size(px(36))
            .y_label_area_size(px(44))
            .build_cartesian_2d(self.x.1.clone(), self.y.1.clone())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(RGBColor(225, 225, 225).stroke_width(SCALE))
            .axis_style(BLACK.stroke_width(SCALE))
            .x_labels(8)
            .x_label_formatter(&|&x| number(x))
            .y_label_formatter(&|&y| number(y))
            .y_labels(6)
            .x_desc(self.x.0)
            .y_desc(self.y.0)
            .label_style(font(11))
            .axis_desc_style(font(12))
            .set_all_tick_mark_size(px(3))
            .draw()?;
        for (line, (colour, _)) in self.lines.iter().zip(STYLES) {
            let style = colour.stroke_width(px(2));
            let (x, y) = (&self.x.1, &self.y.1);
            let inside = |p: &&(f64, f64)| {
                (x.start..=x.end).contains(&p.0) && (y.start..=y.end).contains(&p.1)
            };
            let points: Vec<_> = line.points.iter().filter(inside).copied().collect();
            chart
                .draw_series(LineSeries::new(points, style))?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + SAMPLE, y)], style));
        }
        if self.lines.len() > 1 {
            chart
                .configure_series_labels()
                .position(self.legend.clone())
                .legend_area_size(px(26))
                .margin(px(6))
                .background_style(WHITE.mix(0.85))
                .label_font(font(11))
                .draw()?;
        }
        Ok(())
    }
}

/// Without the digits that adding up ticks leaves behind.
fn number(x: f64) -> String {
    format!("{}", (x * 1e6).round() / 1e6)
}
