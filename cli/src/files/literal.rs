//! The text of a `.npy` header: a Python dictionary of three entries, as NumPy writes it.

/// Why a header cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is none.
    Junk(String),
    /// It is that of an array of records.
    Records,
}

/// What the dictionary says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dictionary<'a> {
    pub(super) descr: &'a str,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<u64>,
}

impl<'a> Dictionary<'a> {
    /// Goes through the text once, without recursion: the time it takes grows as its length does.
    pub(super) fn parse(text: &'a str) -> Result<Self, Refusal> {
        let (mut text, mut descr, mut fortran_order, mut shape) = (Text(text), None, None, None);
        text.expect("{")?;
        while !text.take("}") {
            let key = text.string()?;
            text.expect(":")?;
            let known = match key {
                "descr" if text.sees("[") => return Err(Refusal::Records),
                "descr" => descr.replace(text.string()?).is_none(),
                "fortran_order" => fortran_order.replace(text.boolean()?).is_none(),
                "shape" => shape.replace(text.shape()?).is_none(),
                _ => false,
            };
            if !known {
                return Err(Refusal::Junk(format!("`{key}` does not belong in its header")));
            }
            if !text.take(",") && !text.sees("}") {
                return Err(text.wanted("`,` or `}`"));
            }
        }
        text.end()?;
        match (descr, fortran_order, shape) {
            (Some(descr), Some(fortran_order), Some(shape)) => {
                Ok(Self { descr, fortran_order, shape })
            }
            _ => Err(Refusal::Junk("descr, fortran_order or shape is missing".to_owned())),
        }
    }
}

/// What has not been read yet.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    fn skip_space(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    fn wanted(&self, what: &str) -> Refusal {
        match self.0.chars().next() {
            Some(found) => {
                Refusal::Junk(format!("its header has `{found}` where {what} should be"))
            }
            None => Refusal::Junk("its header ends too early".to_owned()),
        }
    }

    fn sees(&mut self, token: &str) -> bool {
        self.skip_space();
        self.0.starts_with(token)
    }

    /// Whether the token comes next; if so it has been read.
    fn take(&mut self, token: &str) -> bool {
        self.skip_space();
        let rest = self.0.strip_prefix(token);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), Refusal> {
        if self.take(token) { Ok(()) } else { Err(self.wanted(&format!("`{token}`"))) }
    }

    fn end(&mut self) -> Result<(), Refusal> {
        self.skip_space();
        if self.0.is_empty() { Ok(()) } else { Err(self.wanted("its end")) }
    }

    /// A string without escapes: none of the three names and no type that is read has any.
    fn string(&mut self) -> Result<&'a str, Refusal> {
        let quote = if self.take("'") {
            '\''
        } else {
            self.expect("\"")?;
            '"'
        };
        let (string, rest) = self
            .0
            .split_once(quote)
            .ok_or_else(|| Refusal::Junk("its header has a string without an end".to_owned()))?;
        self.0 = rest;
        Ok(string)
    }

    fn boolean(&mut self) -> Result<bool, Refusal> {
        if self.take("True") {
            Ok(true)
        } else if self.take("False") {
            Ok(false)
        } else {
            Err(self.wanted("True or False"))
        }
    }

    /// A tuple of sizes; that of one has a comma.
    fn shape(&mut self) -> Result<Vec<u64>, Refusal> {
        self.expect("(")?;
        let mut shape = Vec::new();
        while !self.take(")") {
            shape.push(self.size()?);
            if !self.take(",") && (shape.len() == 1 || !self.sees(")")) {
                return Err(self.wanted("`,`"));
            }
        }
        Ok(shape)
    }

    fn size(&mut self) -> Result<u64, Refusal> {
        self.skip_space();
        let digits = self.0.len() - self.0.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, rest) = self.0.split_at(digits);
        if number.is_empty() {
            return Err(self.wanted("a size"));
        }
        self.0 = rest;
        number.parse().map_err(|_| Refusal::Junk(format!("{number} is no size")))
    }
}

#[cfg(test)]
mod tests {
    use super::{Dictionary, Refusal};

    fn junk(text: &str) -> String {
        match Dictionary::parse(text) {
            Err(Refusal::Junk(reason)) => reason,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn what_numpy_writes() {
        for (shape, want) in [
            ("()", vec![]),
            ("(3,)", vec![3]),
            ("(0, 18446744073709551615)", { vec![0, u64::MAX] }),
        ] {
            let text =
                format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}  \n");
            let want = Dictionary { descr: "<f4", fortran_order: false, shape: want };
            assert_eq!(Dictionary::parse(&text), Ok(want), "{text}");
        }
    }

    #[test]
    fn other_ways_to_write_it() {
        let text = "\t{ \"shape\" :( 3 ,2,),'fortran_order':True,\"descr\":\"|u1\"}";
        let want = Dictionary { descr: "|u1", fortran_order: true, shape: vec![3, 2] };
        assert_eq!(Dictionary::parse(text), Ok(want));
    }

    #[test]
    fn records() {
        let text = "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }";
        assert_eq!(Dictionary::parse(text), Err(Refusal::Records));
    }

    #[test]
    fn what_is_no_header() {
        let with = |descr, order, shape| {
            format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}")
        };
        for (text, part) in [
            (String::new(), "too early"),
            ("{".to_owned(), "too early"),
            ("{}".to_owned(), "missing"),
            ("{'descr': '<f4', 'shape': ()}".to_owned(), "missing"),
            ("{'descr': '<f4', 'descr': '<f4'}".to_owned(), "`descr` does not belong"),
            ("{'colour': 3}".to_owned(), "`colour` does not belong"),
            ("{'descr".to_owned(), "without an end"),
            ("{'descr' '<f4'}".to_owned(), "`:`"),
            ("{'descr': '<f4' 'shape': ()}".to_owned(), "`,` or `}`"),
            (with("'<f4'", "None", "()"), "True or False"),
            (with("4", "False", "()"), "`4` where"),
            (with("'<f4'", "False", "(3)"), "`)` where `,`"),
            (with("'<f4'", "False", "(3, -2)"), "`-` where a size"),
            (with("'<f4'", "False", "(3 2)"), "`2` where `,`"),
            (with("'<f4'", "False", "(3, 2.5)"), "`.` where `,`"),
            (with("'<f4'", "False", "(18446744073709551616,)"), "is no size"),
            (with("'<f4'", "False", "[3, 2]"), "`[` where `(`"),
            (with("'<f4'", "False", "()") + "x", "`x` where its end"),
        ] {
            let reason = junk(&text);
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }
}
