//! Axes, lines and markers as SVG.

use std::fmt::Write as _;

/// How an axis is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    Log,
}

#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub(crate) name: String,
    pub(crate) scale: Scale,
    /// From the least to the greatest, in that order.
    pub(crate) range: (f64, f64),
    pub(crate) label: fn(f64) -> String,
}

impl Axis {
    /// A logarithmic axis around some values, over a power of ten at least.
    pub(crate) fn log(
        name: &str,
        values: impl IntoIterator<Item = f64>,
        label: fn(f64) -> String,
    ) -> Self {
        const AROUND: f64 = 1.4;
        let (low, high) = values
            .into_iter()
            .fold((f64::INFINITY, 0.0f64), |(low, high), x| (low.min(x), high.max(x)));
        let around = f64::max(AROUND, (10.0 * low / high).sqrt());
        let range = (low / around, high * around);
        Self { name: name.to_owned(), scale: Scale::Log, range, label }
    }

    /// Where a value is, from 0 to 1.
    fn place(&self, x: f64) -> f64 {
        let of = |x: f64| if self.scale == Scale::Log { x.log10() } else { x };
        (of(x) - of(self.range.0)) / (of(self.range.1) - of(self.range.0))
    }

    fn ticks(&self) -> Vec<f64> {
        let (low, high) = self.range;
        if self.scale == Scale::Log {
            // The ends may miss a power of ten by a rounding.
            let (first, last) = (low.log10() - 0.01, high.log10() + 0.01);
            let (first, last) = (first.ceil() as i32, last.floor() as i32);
            return (first..=last).map(|power| 10f64.powi(power)).collect();
        }
        let step = [5.0, 10.0, 20.0, 25.0, 50.0, 100.0, 200.0, 500.0]
            .into_iter()
            .find(|step| (high - low) / step <= 7.0)
            .unwrap_or(high - low);
        let count = ((high - low) / step) as i32;
        (0..=count).map(|i| low + step * f64::from(i)).collect()
    }
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    pub(crate) colour: &'static str,
    /// Dashes and gaps; none for a line without gaps.
    pub(crate) dashes: &'static str,
    pub(crate) width: f64,
    pub(crate) marker: Marker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker {
    Disc,
    Ring,
    None,
}

#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<(Style, Vec<(f64, f64)>)>,
    /// A value of y that is drawn stronger, with its name.
    pub(crate) mark: Option<(f64, &'static str)>,
}

/// A picture that grows as it is drawn.
#[derive(Debug)]
pub(crate) struct Picture {
    size: (f64, f64),
    body: String,
}

const GREY: &str = "#555";

impl Picture {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self { size: (width, height), body: String::new() }
    }

    pub(crate) fn finish(self) -> String {
        let Self { size: (width, height), body } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\" \
             fill=\"#222\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n\
             {body}</svg>\n"
        )
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // Memory can be written.
        let _ = writeln!(self.body, "{element}");
    }

    pub(crate) fn text(&mut self, (x, y): (f64, f64), attributes: &str, text: &str) {
        let text = escaped(text);
        self.push(format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{text}</text>"));
    }

    fn rule(&mut self, from: (f64, f64), to: (f64, f64), stroke: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.push(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" {stroke}/>"
        ));
    }

    /// A line through points of the picture.
    pub(crate) fn line(&mut self, style: Style, points: &[(f64, f64)]) {
        let Style { colour, dashes, width, marker } = style;
        let path: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.push(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" \
             stroke-linejoin=\"round\"{}/>",
            path.join(" "),
            if dashes.is_empty() {
                String::new()
            } else {
                format!(" stroke-dasharray=\"{dashes}\"")
            }
        ));
        let fill = match marker {
            Marker::None => return,
            Marker::Disc => colour,
            Marker::Ring => "white",
        };
        for (x, y) in points {
            self.push(format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{fill}\" stroke=\"{colour}\" \
                 stroke-width=\"1.3\"/>"
            ));
        }
    }

    /// A panel whose axes enclose this rectangle: left, top, width, height.
    pub(crate) fn panel(&mut self, panel: &Panel, [left, top, width, height]: [f64; 4]) {
        let at = |x: f64, y: f64| {
            (left + width * panel.x.place(x), top + height * (1.0 - panel.y.place(y)))
        };
        let ((low, high), (floor, ceiling)) = (panel.x.range, panel.y.range);
        self.text((left, top - 10.0), "font-size=\"13\" font-weight=\"bold\"", &panel.title);
        let grid = "stroke=\"#e4e4e4\"";
        for x in panel.x.ticks() {
            self.rule(at(x, floor), at(x, ceiling), grid);
            let (px, py) = at(x, floor);
            self.text((px, py + 15.0), "text-anchor=\"middle\"", &(panel.x.label)(x));
        }
        for y in panel.y.ticks() {
            self.rule(at(low, y), at(high, y), grid);
            let (px, py) = at(low, y);
            self.text((px - 6.0, py + 4.0), "text-anchor=\"end\"", &(panel.y.label)(y));
        }
        self.push(format_args!(
            "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" fill=\"none\" \
             stroke=\"{GREY}\"/>"
        ));
        if let Some((y, name)) = panel.mark {
            self.rule(at(low, y), at(high, y), &format!("stroke=\"{GREY}\" stroke-width=\"1.2\""));
            let (px, py) = at(high, y);
            let attributes = format!("text-anchor=\"end\" fill=\"{GREY}\"");
            self.text((px - 4.0, py - 4.0), &attributes, name);
        }
        for (style, points) in &panel.lines {
            let points: Vec<_> = points.iter().map(|&(x, y)| at(x, y)).collect();
            self.line(*style, &points);
        }
        let below = (left + width / 2.0, top + height + 34.0);
        self.text(below, "text-anchor=\"middle\" font-size=\"12\"", &panel.x.name);
        let (x, y) = (left - 52.0, top + height / 2.0);
        let turned = format!(
            "text-anchor=\"middle\" font-size=\"12\" transform=\"rotate(-90 {x:.1} {y:.1})\""
        );
        self.text((x, y), &turned, &panel.y.name);
    }
}

fn escaped(text: &str) -> String {
    // Adapters' names are anything; XML has no control characters.
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
