//! From bytes to a tree in which every key and value knows its place.
//!
//! Built from the parser's events and not by a loader, because the events say where
//! everything stands, and because what a file can make us do is bounded here: its
//! size, how deep and how many its nodes are. An alias refers to its anchor's node
//! and copies nothing; it counts as all that it refers to, because whoever reads the
//! tree visits that again, and would find each of its mistakes again.
//!
//! Only what a configuration needs is kept: mappings from words to text, mappings or
//! lists of these.
//! Text stays text, whatever YAML would call its type.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::mistake::{DOCUMENT, Mistake, Place, cut, inside};

/// Bytes of a file.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// Mappings and lists inside each other: three, but for rules that stand inside rules.
const MAX_DEPTH: usize = 16;
const MAX_NODES: usize = 100_000;

/// A value.
#[derive(Debug)]
pub(crate) enum Value {
    /// Nothing was written, or `~`, or `null`.
    Nothing,
    Text(String),
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>),
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) node: Rc<Node>,
}

/// What a file says, as far as it can be read, and what is wrong with how it is
/// written.
pub(crate) fn read(file: &Arc<str>, bytes: &[u8]) -> (Option<Rc<Node>>, Vec<Mistake>) {
    let mut tree = Tree::new(file);
    match text(bytes) {
        Ok(text) => tree.grow(text),
        Err(wrong) => {
            let (line, column) = wrong.at.map_or((0, 0), |at| position(bytes, at));
            tree.wrong(tree.place(line, column), wrong.problem, wrong.expected);
        }
    }
    (tree.root, tree.mistakes)
}

struct WrongBytes {
    at: Option<usize>,
    problem: String,
    expected: &'static str,
}

/// The bytes as text that the parser reads to its end: it would take a zero for
/// the end of the file.
fn text(bytes: &[u8]) -> Result<&str, WrongBytes> {
    if bytes.len() > MAX_BYTES {
        return Err(WrongBytes {
            at: None,
            problem: format!("the file has {} bytes", bytes.len()),
            expected: "at most 1MiB",
        });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| WrongBytes {
        at: Some(error.valid_up_to()),
        problem: "these bytes are not UTF-8".to_owned(),
        expected: "text in UTF-8",
    })?;
    let stray = |letter: char| letter.is_control() && !matches!(letter, '\t' | '\n' | '\r');
    match text.char_indices().find(|(_, letter)| stray(*letter)) {
        Some((at, letter)) => Err(WrongBytes {
            at: Some(at),
            problem: format!("found the control character {}", letter.escape_unicode()),
            expected: "text",
        }),
        None => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
    }
}

/// Line and column, from 1, of a byte before which everything is UTF-8.
fn position(bytes: &[u8], at: usize) -> (usize, usize) {
    let before = String::from_utf8_lossy(&bytes[..at]);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

/// A mapping or list that is not at its end.
struct Open {
    place: Place,
    anchor: usize,
    /// Nodes counted before it.
    before: usize,
    kind: Kind,
}

/// What an alias refers to, and how many nodes that is.
struct Anchored {
    node: Rc<Node>,
    nodes: usize,
}

enum Kind {
    List(Vec<Rc<Node>>),
    Map {
        entries: Vec<Entry>,
        /// Where each key was seen first.
        seen: HashMap<String, Place>,
        /// A key whose value is to come; `None` in it: one that is no word.
        key: Option<(Option<String>, Place)>,
    },
}

struct Tree {
    file: Arc<str>,
    mistakes: Vec<Mistake>,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    /// Those that are visited by whoever reads all of the tree.
    nodes: usize,
    documents: usize,
    root: Option<Rc<Node>>,
}

/// There is no use in reading on.
struct Enough;

impl Tree {
    fn new(file: &Arc<str>) -> Self {
        Self {
            file: Arc::clone(file),
            mistakes: Vec::new(),
            open: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
            documents: 0,
            root: None,
        }
    }

    fn grow(&mut self, text: &str) {
        let mut parser = Parser::new(StrInput::new(text));
        while let Some(event) = parser.next_event() {
            let went_on = match event {
                Ok((event, span)) => self.event(event, span),
                Err(error) => self.unreadable(&error),
            };
            if went_on.is_err() {
                break;
            }
        }
        // What was read before a mistake is checked too.
        while self.close().is_some() {}
    }

    fn unreadable(&mut self, error: &ScanError) -> Result<(), Enough> {
        let place = self.at(error.marker());
        let problem = format!("not YAML: {}", cut(error.info()));
        self.wrong(place, problem, "YAML as in apiVersion: millpond/v1");
        Err(Enough)
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Enough> {
        let place = self.at(&span.start);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents == 1 {
                    return Ok(());
                }
                let problem = "a second document begins here".to_owned();
                self.wrong(place, problem, "one document");
                Err(Enough)
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.tagged(tag.as_deref(), &place);
                let plain = style == ScalarStyle::Plain;
                let value = match &*text {
                    "" | "~" | "null" | "Null" | "NULL" if plain => Value::Nothing,
                    _ => Value::Text(text.into_owned()),
                };
                self.node(place, anchor, value)
            }
            Event::SequenceStart(anchor, tag) => {
                self.tagged(tag.as_deref(), &place);
                self.begin(place, anchor, Kind::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.tagged(tag.as_deref(), &place);
                let kind = Kind::Map {
                    entries: Vec::new(),
                    seen: HashMap::new(),
                    key: None,
                };
                self.begin(place, anchor, kind)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.close();
                Ok(())
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(Anchored { node, nodes }) => {
                    let (node, nodes) = (Rc::clone(node), *nodes);
                    self.counted(nodes, &place)?;
                    self.attach(place, node);
                    Ok(())
                }
                None => {
                    let problem = "found an alias of what it stands in".to_owned();
                    self.wrong(place, problem, "an alias of something before it");
                    Err(Enough)
                }
            },
        }
    }

    /// Types that YAML knows anyway change nothing; others mean something to whoever
    /// wrote them, and nothing here.
    fn tagged(&mut self, tag: Option<&Tag>, place: &Place) {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            let problem = format!("found the tag {}", cut(&tag.to_string()));
            self.wrong(place.clone(), problem, "a value without a tag");
        }
    }

    fn counted(&mut self, nodes: usize, place: &Place) -> Result<(), Enough> {
        // Neither is ever more than the limit and one.
        self.nodes += nodes;
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        let problem = format!("there are more than {MAX_NODES} keys and values");
        self.wrong(place.clone(), problem, "fewer");
        Err(Enough)
    }

    fn begin(&mut self, place: Place, anchor: usize, kind: Kind) -> Result<(), Enough> {
        let before = self.nodes;
        self.counted(1, &place)?;
        if self.open.len() >= MAX_DEPTH {
            let problem =
                format!("more than {MAX_DEPTH} mappings and lists stand inside each other");
            self.wrong(place, problem, "fewer");
            return Err(Enough);
        }
        self.open.push(Open {
            place,
            anchor,
            before,
            kind,
        });
        Ok(())
    }

    fn node(&mut self, place: Place, anchor: usize, value: Value) -> Result<(), Enough> {
        self.counted(1, &place)?;
        self.finish(place, anchor, 1, value);
        Ok(())
    }

    fn finish(&mut self, place: Place, anchor: usize, nodes: usize, value: Value) {
        let node = Rc::new(Node {
            place: place.clone(),
            value,
        });
        if anchor > 0 {
            let node = Rc::clone(&node);
            self.anchors.insert(anchor, Anchored { node, nodes });
        }
        self.attach(place, node);
    }

    /// Ends the innermost mapping or list, whether or not it came to its end.
    fn close(&mut self) -> Option<()> {
        let Open {
            place,
            anchor,
            before,
            kind,
        } = self.open.pop()?;
        let (nodes, value) = match kind {
            Kind::List(items) => (self.nodes - before, Value::List(items)),
            Kind::Map { entries, .. } => (self.nodes - before, Value::Map(entries)),
        };
        self.finish(place, anchor, nodes, value);
        Some(())
    }

    /// Puts a node where it belongs: a key, the value of one, or the whole.
    fn attach(&mut self, place: Place, node: Rc<Node>) {
        let path = self.path();
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(Kind::List(items)) => items.push(node),
            Some(Kind::Map { entries, key, .. }) if key.is_some() => {
                if let Some((Some(key), place)) = key.take() {
                    entries.push(Entry { key, place, node });
                }
            }
            Some(Kind::Map { seen, key, .. }) => {
                let Value::Text(word) = &node.value else {
                    *key = Some((None, place.clone()));
                    let problem = "found a key that is no word".to_owned();
                    self.wrong(place, problem, "a word before the colon");
                    return;
                };
                let first = seen.get(word).cloned();
                seen.entry(word.clone()).or_insert_with(|| place.clone());
                let fresh = first.is_none().then(|| word.clone());
                *key = Some((fresh, place.clone()));
                if let Some(Place::File { line, .. }) = first {
                    let Place::File { line: again, .. } = place else {
                        return;
                    };
                    self.mistakes.push(Mistake {
                        path: inside(&path, word),
                        place,
                        problem: format!("is given twice, on line {line} and on line {again}"),
                        expected: "it once".to_owned(),
                    });
                }
            }
        }
    }

    /// What is being read, such as `caches.users`.
    fn path(&self) -> String {
        let keys = self.open.iter().filter_map(|open| match &open.kind {
            Kind::Map { key, .. } => key.as_ref()?.0.as_deref(),
            Kind::List(_) => None,
        });
        keys.fold(DOCUMENT.to_owned(), |path, key| inside(&path, key))
    }

    fn wrong(&mut self, place: Place, problem: String, expected: &str) {
        self.mistakes.push(Mistake {
            place,
            path: self.path(),
            problem,
            expected: expected.to_owned(),
        });
    }

    fn at(&self, marker: &Marker) -> Place {
        self.place(marker.line(), marker.col() + 1)
    }

    fn place(&self, line: usize, column: usize) -> Place {
        Place::File {
            file: Arc::clone(&self.file),
            line,
            column,
        }
    }
}
