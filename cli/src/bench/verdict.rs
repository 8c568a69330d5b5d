//! From which size on the GPU wins.

use serde::Serialize;

use crate::bench::case::Case;
use crate::bench::measure::Who;
use crate::bench::report::Row;

/// From how many rows on, of those measured, the GPU is faster than the CPU path.
#[derive(Debug, Serialize)]
pub(crate) struct Win {
    op: &'static str,
    dtype: String,
    classes: usize,
    /// With data on the GPU; none if not even at the most rows.
    resident_from_rows: Option<usize>,
    /// From host memory to host memory.
    host_to_host_from_rows: Option<usize>,
    /// The fewest and the most rows that were measured.
    rows: [usize; 2],
}

/// For each operation, dtype and number of classes that the GPU was measured with.
pub(crate) fn wins(rows: &[Row]) -> Vec<Win> {
    let mut wins = Vec::new();
    let mut seen: Vec<Case> = Vec::new();
    for row in rows.iter().filter(|row| row.who == Who::Resident) {
        let alike = |case: &Case| {
            (case.operation, case.dtype, case.shape.classes)
                == (row.case.operation, row.case.dtype, row.case.shape.classes)
        };
        if seen.iter().any(alike) {
            continue;
        }
        seen.push(row.case);
        let measured = rows.iter().filter(|other| alike(&other.case));
        let mut by_rows: Vec<_> = measured.collect();
        by_rows.sort_by_key(|row| row.case.shape.rows);
        let resident = times(&by_rows, Who::Resident);
        let (Some(first), Some(last)) = (resident.first(), resident.last()) else { continue };
        wins.push(Win {
            op: row.case.operation.name(),
            dtype: row.case.dtype.to_string(),
            classes: row.case.shape.classes,
            rows: [first.0, last.0],
            resident_from_rows: from(&resident),
            host_to_host_from_rows: from(&times(&by_rows, Who::HostToHost)),
        });
    }
    wins
}

/// How many rows, and how much faster than the CPU path.
fn times(by_rows: &[&Row], who: Who) -> Vec<(usize, f64)> {
    let find = |case, who| by_rows.iter().find(|row| row.case == case && row.who == who);
    let times = by_rows.iter().filter(|row| row.who == who).filter_map(|row| {
        let cpu = find(row.case, Who::Cpu)?;
        Some((row.case.shape.rows, cpu.seconds / row.seconds))
    });
    times.collect()
}

/// The fewest rows from which on it is faster throughout.
fn from(times: &[(usize, f64)]) -> Option<usize> {
    let faster = times.iter().rev().take_while(|(_, times)| *times > 1.0);
    faster.last().map(|(rows, _)| *rows)
}

impl Win {
    /// Whether more than one number of rows was measured.
    pub(crate) fn is_of_a_range(&self) -> bool {
        self.rows[0] < self.rows[1]
    }

    pub(crate) fn sentence(&self) -> String {
        let [least, most] = self.rows;
        let from = |rows: usize| match rows {
            rows if rows == least => format!("from {rows} rows on, the fewest measured"),
            rows => format!("from {rows} rows on"),
        };
        let result = match (self.resident_from_rows, self.host_to_host_from_rows) {
            (None, None) => {
                format!("the CPU path is faster up to {most} rows, wherever the data is")
            }
            (Some(resident), None) => format!(
                "the GPU is faster {}, with data on the GPU; with data in host memory, the CPU \
                 path is, up to {most} rows",
                from(resident)
            ),
            (None, Some(both)) => format!("the GPU is faster {}, transfer included", from(both)),
            (Some(resident), Some(both)) => format!(
                "the GPU is faster {}, with data on the GPU, and {}, with data in host memory",
                from(resident),
                from(both)
            ),
        };
        format!("{} of {} classes, {}: {result}.", self.op, self.classes, self.dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::from;

    #[test]
    fn a_win_lasts() {
        assert_eq!(from(&[(1, 0.5), (2, 1.5), (4, 0.9), (8, 1.1), (16, 3.0)]), Some(8));
        assert_eq!(from(&[(1, 1.5), (2, 2.0)]), Some(1));
        assert_eq!(from(&[(1, 1.5), (2, 1.0)]), None);
        assert_eq!(from(&[(1, 1.5), (2, f64::NAN)]), None);
        assert_eq!(from(&[]), None);
    }
}
