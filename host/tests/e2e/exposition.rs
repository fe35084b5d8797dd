//! Reads a page of metrics as strictly as the formats are specified: OpenMetrics 1.0, and
//! the text format of Prometheus. What they forbid fails the test.

use std::collections::{BTreeMap, BTreeSet};

/// A number with its labels.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// A page that was read.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    /// Name of a family, its type.
    pub(crate) types: BTreeMap<String, String>,
    pub(crate) units: BTreeMap<String, String>,
    pub(crate) samples: Vec<Sample>,
}

impl Exposition {
    /// Reads OpenMetrics.
    pub(crate) fn open_metrics(page: &str) -> Self {
        let page = page.strip_suffix("# EOF\n").expect("it ends with # EOF");
        Self::read(page, true)
    }

    /// Reads the older text format.
    pub(crate) fn text(page: &str) -> Self {
        Self::read(page, false)
    }

    fn read(page: &str, is_open: bool) -> Self {
        assert!(page.ends_with('\n'));
        let mut read = Self::default();
        let mut helped = BTreeSet::new();
        let mut series = BTreeSet::new();
        let mut current = String::new();
        for line in page.lines() {
            assert_eq!(line, line.trim(), "no space around {line:?}");
            if let Some(comment) = line.strip_prefix("# ") {
                let (kind, rest) = comment.split_once(' ').expect(line);
                let (name, rest) = rest.split_once(' ').expect(line);
                check_name(name);
                if name != current {
                    assert!(!helped.contains(name), "{name} comes in two places");
                    current = name.to_owned();
                }
                match kind {
                    "HELP" => assert!(helped.insert(name.to_owned()), "{name} twice"),
                    "TYPE" => {
                        let before = read.types.insert(name.to_owned(), rest.to_owned());
                        assert_eq!(before, None, "{name} has two types");
                    }
                    "UNIT" => {
                        assert!(is_open, "{line}");
                        assert!(name.ends_with(&format!("_{rest}")), "{line}");
                        read.units.insert(name.to_owned(), rest.to_owned());
                    }
                    _ => panic!("{line}"),
                }
                continue;
            }
            let sample = sample(line);
            read.check(&sample, &current, is_open);
            let id = format!("{} {:?}", sample.name, sample.labels);
            assert!(series.insert(id), "twice: {line}");
            read.samples.push(sample);
        }
        for name in read.types.keys() {
            assert!(helped.contains(name), "{name} has no HELP");
        }
        read.check_histograms();
        read
    }

    /// Whether a sample may stand below the lines about this family.
    fn check(&self, sample: &Sample, family: &str, is_open: bool) {
        let kind = self.types.get(family).expect("TYPE comes first");
        let suffixes: &[&str] = match (kind.as_str(), is_open) {
            ("counter", true) => &["_total"],
            ("info", true) => &["_info"],
            ("histogram", _) => &["_bucket", "_sum", "_count"],
            ("gauge" | "counter", _) => &[""],
            _ => panic!("{family} is of an odd type: {kind}"),
        };
        let suffix = sample.name.strip_prefix(family);
        assert!(
            suffix.is_some_and(|suffix| suffixes.contains(&suffix)),
            "{sample:?} is not of {family}, a {kind}"
        );
        if kind == "counter" {
            assert!(sample.name.ends_with("_total"), "{sample:?}");
            assert!(sample.value >= 0.0, "{sample:?}");
        }
        let has_bound = sample.labels.contains_key("le");
        assert_eq!(has_bound, sample.name.ends_with("_bucket"), "{sample:?}");
    }

    /// Buckets add up, the last has no bound, and is the count.
    fn check_histograms(&self) {
        let families = self.types.iter().filter(|(_, kind)| *kind == "histogram");
        for (family, _) in families {
            let mut buckets: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
            for sample in self.of(&format!("{family}_bucket")) {
                let mut labels = sample.labels.clone();
                let le = labels.remove("le").unwrap();
                let le = if le == "+Inf" {
                    f64::INFINITY
                } else {
                    le.parse().unwrap()
                };
                let of = buckets.entry(format!("{labels:?}")).or_default();
                of.push((le, sample.value));
            }
            for count in self.of(&format!("{family}_count")) {
                let of = &buckets[&format!("{:?}", count.labels)];
                let sorted = of.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 <= w[1].1);
                assert!(sorted, "{family}: {of:?}");
                assert_eq!(
                    of.last().unwrap(),
                    &(f64::INFINITY, count.value),
                    "{family}"
                );
            }
        }
    }

    /// The samples of a name.
    pub(crate) fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.samples
            .iter()
            .filter(move |sample| sample.name == name)
    }

    /// The sum of the samples of a name that have these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |sample: &&Sample| {
            let has = |(name, value): &(&str, &str)| {
                sample.labels.get(*name).is_some_and(|found| found == value)
            };
            labels.iter().all(has)
        };
        self.of(name).filter(has).map(|sample| sample.value).sum()
    }
}

fn check_name(name: &str) {
    let mut letters = name.chars();
    let first = letters.next().expect("a name");
    assert!(first.is_ascii_lowercase(), "{name}");
    assert!(
        letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'),
        "{name}"
    );
}

/// `name{label="value",..} number`.
fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').expect(line);
    let (name, mut rest) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').expect(line)),
        None => (series, ""),
    };
    check_name(name);
    let mut labels = BTreeMap::new();
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"").expect(line);
        check_name(label);
        // No value of ours needs to be escaped.
        let (text, after) = after.split_once('"').expect(line);
        assert!(!text.contains('\\'), "{line}");
        let before = labels.insert(label.to_owned(), text.to_owned());
        assert_eq!(before, None, "{line}");
        rest = after.strip_prefix(',').unwrap_or(after);
        assert!(after.is_empty() || after.starts_with(','), "{line}");
    }
    Sample {
        name: name.to_owned(),
        labels,
        value: value.parse().expect(line),
    }
}
