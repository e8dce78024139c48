//! The vectors as they stand in their files, read strictly: a key that nobody knows is an error.

use std::{collections::BTreeSet, fs, path::Path};

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::{Map, Value};

/// One file: the vectors of one framing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) framing: String,
    pub(crate) decode: Vec<Decode>,
    pub(crate) encode: Vec<Encode>,
}

/// What is read, and all that comes of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decode {
    pub(crate) name: String,
    /// Where it is published, for people.
    #[serde(default, rename = "source")]
    _source: Option<String>,
    pub(crate) options: Map<String, Value>,
    /// A frame that is sent before anything is read.
    #[serde(default)]
    pub(crate) sent: Option<Hex>,
    pub(crate) chunks: Vec<Chunk>,
    /// Whether the stream goes on behind the last chunk.
    #[serde(default)]
    pub(crate) open: bool,
    /// Whether the chunks must be as they are.
    #[serde(default)]
    pub(crate) uncut: bool,
    pub(crate) frames: Vec<Hex>,
    #[serde(default)]
    pub(crate) skipped: Vec<Skipped>,
    #[serde(default)]
    pub(crate) error: Option<Failure>,
    #[serde(default)]
    pub(crate) replies: Vec<Hex>,
}

/// Frames, and the bytes of each on the wire; none where it is refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Encode {
    pub(crate) name: String,
    #[serde(default, rename = "source")]
    _source: Option<String>,
    pub(crate) options: Map<String, Value>,
    pub(crate) frames: Vec<Hex>,
    pub(crate) wire: Vec<Option<Hex>>,
}

/// The error that ends a stream.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Failure {
    pub(crate) kind: String,
    pub(crate) offset: u64,
    #[serde(default)]
    pub(crate) declared: Option<String>,
    #[serde(default)]
    pub(crate) part: Option<String>,
    #[serde(default)]
    pub(crate) have: Option<usize>,
    #[serde(default)]
    pub(crate) need: Option<usize>,
}

/// The error of a bad frame that is skipped, `after` so many good ones.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Skipped {
    pub(crate) after: usize,
    pub(crate) kind: String,
    pub(crate) offset: u64,
    #[serde(default)]
    pub(crate) declared: Option<String>,
}

/// One read, or a wait for every time limit to pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    Read(Vec<u8>),
    Wait,
}

/// Bytes as pairs of hexadecimal digits in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hex(pub(crate) Vec<u8>);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(deserializer)?;
        match unhex(&digits) {
            Some(bytes) => Ok(Self(bytes)),
            None => Err(D::Error::custom(format!("`{digits}` is no hex"))),
        }
    }
}

impl<'de> Deserialize<'de> for Chunk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match (text.as_str(), unhex(&text)) {
            ("wait", _) => Ok(Self::Wait),
            (_, Some(bytes)) if !bytes.is_empty() => Ok(Self::Read(bytes)),
            _ => Err(D::Error::custom(format!(
                "`{text}` is neither hex nor `wait`"
            ))),
        }
    }
}

/// The digits of some bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| match *pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect()
}

impl File {
    /// Reads one file's text, and checks what its form alone does not tell.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let file: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut names = BTreeSet::new();
        for vector in &file.decode {
            vector
                .check()
                .and_then(|()| unique(&mut names, ("decode", &vector.name)))
                .map_err(|what| format!("{:?}: {what}", vector.name))?;
        }
        for vector in &file.encode {
            let same = vector.frames.len() == vector.wire.len() && !vector.wire.is_empty();
            require(same, "each frame has its bytes, and there is one")
                .and_then(|()| unique(&mut names, ("encode", &vector.name)))
                .map_err(|what| format!("{:?}: {what}", vector.name))?;
        }
        Ok(file)
    }

    /// Reads all files of a folder, by name.
    pub(crate) fn all_in(folder: impl AsRef<Path>) -> Vec<Self> {
        let mut paths: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "json")
            })
            .collect();
        paths.sort();
        let read = |path: &std::path::PathBuf| {
            let file = Self::parse(&fs::read_to_string(path).unwrap());
            let file = file.unwrap_or_else(|what| panic!("{}: {what}", path.display()));
            assert_eq!(path.file_stem().unwrap(), file.framing.as_str());
            file
        };
        paths.iter().map(read).collect()
    }
}

impl Decode {
    fn check(&self) -> Result<(), String> {
        let waits = self.chunks.contains(&Chunk::Wait);
        require(self.uncut || !waits, "what waits must be `uncut`")?;
        require(
            self.skipped.iter().all(|s| s.after <= self.frames.len()),
            "`after` is a number of frames",
        )?;
        require(
            self.skipped.is_sorted_by_key(|skipped| skipped.after),
            "`skipped` stands in order",
        )?;
        let Some(error) = &self.error else {
            return require(!self.open, "an `open` stream ends with an error");
        };
        let cut_off = error.kind == "truncated";
        require(
            !(self.open && cut_off),
            "an `open` stream is not `truncated`",
        )?;
        require(
            (error.part.is_some(), error.have.is_some()) == (cut_off, cut_off),
            "`part` and `have` belong to `truncated`",
        )?;
        require(
            cut_off || error.need.is_none(),
            "`need` belongs to `truncated`",
        )
    }

    /// The reads as they are, whole, byte by byte, and at every single split if the stream has no
    /// more than `most` bytes.
    pub(crate) fn every_cut(&self, most: usize) -> Vec<Vec<Chunk>> {
        let mut all = vec![self.chunks.clone()];
        if self.uncut || self.chunks.is_empty() {
            return all;
        }
        let mut stream = Vec::new();
        for chunk in &self.chunks {
            if let Chunk::Read(bytes) = chunk {
                stream.extend_from_slice(bytes);
            }
        }
        let read = |bytes: &[u8]| Chunk::Read(bytes.to_vec());
        all.push(vec![read(&stream)]);
        all.push(stream.chunks(1).map(read).collect());
        if stream.len() <= most {
            for at in 1..stream.len() {
                let (front, back) = stream.split_at(at);
                all.push(vec![read(front), read(back)]);
            }
        }
        // A stream of one read is cut as it stands already, and so is one of two bytes.
        let mut seen = Vec::new();
        all.retain(|cut| {
            let new = !seen.contains(cut);
            seen.push(cut.clone());
            new
        });
        all
    }
}

fn require(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.into()) }
}

fn unique<T: Ord>(names: &mut BTreeSet<T>, name: T) -> Result<(), String> {
    require(names.insert(name), "the name is there twice")
}
