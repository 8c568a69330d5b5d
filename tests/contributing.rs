//! The files that CONTRIBUTING.md sends somebody to are there.

#[test]
fn files_are_where_it_says() {
    let text = std::fs::read_to_string("CONTRIBUTING.md").expect("it is there");
    let quoted: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
    let paths = quoted.iter().filter(|it| it.contains('/') && !it.contains(' '));
    let mut count = 0;
    for path in paths {
        assert!(std::path::Path::new(path).exists(), "{path}");
        count += 1;
    }
    assert!(count > 40, "only {count} paths were found");
}
