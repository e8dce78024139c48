//! Headers against the real `struct` module of Python: which formats there are, where their items
//! stand, what is packed and unpacked, and what is refused.
//!
//! One Python process answers requests, a line of JSON each. Without a `python3` the tests say so
//! and compare nothing.

use std::{
    cell::RefCell,
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use bytes::Bytes;
use framing::{
    ErrorKind, Framing, Limits, Machine, Received, StructHeader, StructHeaderOptions, Value,
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value as Json, json};

/// The largest header that the framing takes.
const LARGEST: u64 = 64 * 1024;

/// Answers `{format}` with the size, `{format, unpack}` with values, `{format, pack}` with bytes
/// and whether they would be read back as something else.
const ORACLE: &str = r#"
import json, math, re, struct, sys

def to_json(value):
    if isinstance(value, bool):
        return {"bool": value}
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, float):
        return {"float": struct.pack(">d", value).hex()}
    return {"bytes": value.hex()}

def from_json(item):
    (kind, value), = item.items()
    if kind == "int":
        return int(value)
    if kind == "float":
        return struct.unpack(">d", bytes.fromhex(value))[0]
    return bytes.fromhex(value) if kind == "bytes" else value

def survives(given, read):
    if isinstance(read, bytes):
        return read.startswith(given) and not any(read[len(given):])
    if isinstance(read, float):
        return math.isinf(given) == math.isinf(read) and math.isnan(given) == math.isnan(read)
    return given == read

def answer(request):
    layout = struct.Struct(request["format"])
    if "unpack" in request:
        values = layout.unpack(bytes.fromhex(request["unpack"]))
        return {"values": [to_json(value) for value in values]}
    if "pack" in request:
        given = [from_json(item) for item in request["pack"]]
        packed = layout.pack(*given)
        read = layout.unpack(packed)
        # A truth value is the only item that takes just anything.
        same = all(type(b) is bool and a in (0, 1) or survives(a, b) for a, b in zip(given, read))
        return {"bytes": packed.hex(), "same": same}
    return {"size": layout.size, "empty_pascal": bool(re.search("(?<![0-9])0+p", request["format"]))}

for line in sys.stdin:
    try:
        reply = answer(json.loads(line))
    except Exception as error:
        reply = {"error": repr(error)}
    print(json.dumps(reply), flush=True)
"#;

struct Python {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Python {
    /// Starts the oracle, or says visibly that there is none.
    fn start() -> Option<Self> {
        let mut command = Command::new("python3");
        command
            .args(["-c", ORACLE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                // `eprintln` would be hidden by the test harness.
                let mut stderr = io::stderr();
                writeln!(stderr, "SKIPPED: no python3 to compare with: {error}").unwrap();
                return None;
            }
        };
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Some(Self {
            child,
            requests,
            answers,
        })
    }

    fn ask(&mut self, request: &Json) -> Json {
        let requests = self.requests.as_mut().unwrap();
        writeln!(requests, "{request}").unwrap();
        requests.flush().unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn accepts(&mut self, format: &str) -> Result<u64, String> {
        let answer = self.ask(&json!({ "format": format }));
        match answer["size"].as_u64() {
            Some(_) if answer["empty_pascal"] == true => Err("0p".into()),
            Some(size) if size > LARGEST => Err("too large".into()),
            Some(size) => Ok(size),
            None => Err(answer["error"].to_string()),
        }
    }

    fn unpack(&mut self, format: &str, bytes: &[u8]) -> Vec<Value> {
        let answer = self.ask(&json!({ "format": format, "unpack": hex(bytes) }));
        let values = answer["values"]
            .as_array()
            .unwrap_or_else(|| panic!("{format}: {answer}"));
        values.iter().map(value).collect()
    }

    /// The bytes, if Python packs them and reads back the same.
    fn pack(&mut self, format: &str, values: &[Value]) -> Option<Vec<u8>> {
        let values: Vec<Json> = values.iter().map(to_json).collect();
        let answer = self.ask(&json!({ "format": format, "pack": values }));
        let same = answer["same"].as_bool()?;
        same.then(|| unhex(answer["bytes"].as_str().unwrap()))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.requests = None;
        let _ = self.child.wait();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Int(value) => json!({ "int": value.to_string() }),
        Value::Float(value) => json!({ "float": hex(&value.to_be_bytes()) }),
        Value::Bool(value) => json!({ "bool": value }),
        Value::Bytes(value) => json!({ "bytes": hex(value) }),
        other => panic!("{other:?}"),
    }
}

fn value(json: &Json) -> Value {
    let (kind, value) = json.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "int" => Value::Int(value.as_str().unwrap().parse().unwrap()),
        "float" => {
            let bytes = unhex(value.as_str().unwrap());
            Value::Float(f64::from_be_bytes(bytes.try_into().unwrap()))
        }
        "bool" => Value::Bool(value.as_bool().unwrap()),
        _ => Value::Bytes(unhex(value.as_str().unwrap()).into()),
    }
}

/// Equal, where what is no number equals itself, and zeros of either sign differ.
fn same(a: &[Value], b: &[Value]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|pair| match pair {
            (Value::Float(a), Value::Float(b)) => {
                a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
            }
            (a, b) => a == b,
        })
}

/// Formats, most of them valid. A `B` that holds the length is behind them all.
fn formats() -> impl Strategy<Value = String> {
    let order = select(vec!["", "", "@", "=", "<", ">", "!", " ", "<!"]);
    let code = prop_oneof![
        60 => select("xcbB?hHiIlLqQefdsp".chars().collect::<Vec<_>>()),
        3 => select("nNP".chars().collect::<Vec<_>>()),
        1 => select("zZjkt%#<!\0é٣".chars().collect::<Vec<_>>()),
    ];
    let count = prop_oneof![
        50 => Just(String::new()),
        30 => (0..12_u32).prop_map(|count| count.to_string()),
        2 => (0..400_u32).prop_map(|count| format!("000{count}")),
        1 => select(vec!["65535", "65536", "70000", "9223372036854775807", "99999999999999999999"])
            .prop_map(str::to_owned),
        1 => select(vec!["3 ", "-1", "+2", "1_0"]).prop_map(str::to_owned),
    ];
    let space = prop_oneof![9 => Just(""), 1 => select(vec![" ", "\t", "\n", "\x0b", "\x0c\r"])];
    let end = select(vec!["", "", "", "", "", "", "", "", " ", "3", "0"]);
    (order, vec((space, count, code), 0..7), end).prop_map(|(order, codes, end)| {
        let codes: String = codes
            .into_iter()
            .map(|(space, count, code)| format!("{space}{count}{code}"))
            .collect();
        format!("{order}{codes}{end}B")
    })
}

/// What a value is made of, once it is known what sort is wanted.
#[derive(Clone, Debug)]
struct Seed {
    sort: u8,
    bits: u64,
    text: Vec<u8>,
}

fn seeds() -> impl Strategy<Value = Vec<Seed>> {
    let seed = (any::<u8>(), any::<u64>(), vec(any::<u8>(), 0..6));
    vec(
        seed.prop_map(|(sort, bits, text)| Seed { sort, bits, text }),
        16,
    )
}

impl Seed {
    /// A value like `model`, mostly; sometimes one of another sort.
    fn value(&self, model: &Value) -> Value {
        match (self.sort % 16, model) {
            (0, _) => Value::Bool(self.bits & 1 == 1),
            (1, _) => self.int(),
            (2, _) => self.float(),
            (3, _) => Value::Bytes(self.text.clone().into()),
            (_, Value::Bool(_)) => Value::Bool(self.bits & 1 == 1),
            (_, Value::Int(_)) => self.int(),
            (_, Value::Float(_)) => self.float(),
            (sort, Value::Bytes(model)) => {
                // As long as there is room, or a little shorter or longer.
                let length = (model.len() + usize::from(sort % 4)).saturating_sub(2);
                let text = [&self.text[..], &self.bits.to_be_bytes()].concat();
                let text = text.into_iter().cycle();
                Value::Bytes(text.take(length).collect::<Vec<_>>().into())
            }
            (_, other) => panic!("{other:?}"),
        }
    }

    /// Any size and sign, and often at the edge of a width.
    fn int(&self) -> Value {
        let edge = 1_i128 << (self.bits % 66);
        let value = match self.sort / 16 % 8 {
            0 => edge,
            1 => edge - 1,
            2 => -edge,
            3 => -edge - 1,
            4 => i128::from(self.bits),
            5 => i128::from(self.bits as i64),
            6 => i128::from(self.bits as i16),
            _ => i128::from(self.bits as u8),
        };
        Value::Int(value)
    }

    /// Any number there is, and often one at the edge of a width or between two halves.
    fn float(&self) -> Value {
        let half = f64::from(self.bits as u16 as i16) / 32.0;
        Value::Float(match self.sort / 16 % 8 {
            0 => f64::from_bits(self.bits),
            1 => f64::from(f32::from_bits(self.bits as u32)),
            2 => half,
            3 => half * 2_f64.powi((self.bits >> 32) as i32 % 32),
            4 => [65504.0, 65519.99, 65520.0, -65520.0, 65536.0][self.bits as usize % 5],
            5 => [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -0.0, 1.0][self.bits as usize % 5],
            6 => [3.4028234e38, 3.4028235677973366e38, 1e300, 5e-324][self.bits as usize % 4],
            _ => f64::from(self.bits as i8) / 3.0,
        })
    }
}

/// Runs `check` with one Python process for all its cases.
fn against_python<S: Strategy>(
    cases: u32,
    strategy: S,
    check: impl Fn(&mut Python, S::Value) -> Result<(), TestCaseError>,
) {
    let Some(python) = Python::start() else {
        return;
    };
    let python = RefCell::new(python);
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome =
        TestRunner::new(config).run(&strategy, |case| check(&mut python.borrow_mut(), case));
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// The header, where `length` is the payload's.
fn decode(framing: &StructHeader, header: &[u8], payload: &[u8]) -> Vec<Value> {
    let mut machine = Machine::new(framing.clone());
    machine.receive(header);
    machine.receive(payload);
    assert_eq!(
        machine.next_frame(),
        Ok(Received::Frame(Bytes::copy_from_slice(payload)))
    );
    machine.framing().header()
}

#[test]
fn formats_values_bytes_and_errors_agree_with_python() {
    let cases = (
        formats(),
        seeds(),
        vec(any::<u8>(), 64),
        vec(any::<u8>(), 0..20),
    );
    against_python(5000, cases, |python, (format, seeds, noise, payload)| {
        let size = match (python.accepts(&format), StructHeader::new(&format)) {
            // Only zero of the last item.
            (Ok(_), Err(error)) if format.ends_with("0B") => {
                prop_assert_eq!(error.kind(), ErrorKind::Config);
                return Ok(());
            }
            (Ok(size), Ok(_)) => size as usize,
            (Err(_), Err(error)) => {
                prop_assert_eq!(error.kind(), ErrorKind::Config);
                prop_assert!(error.offset() <= format.len() as u64, "{error}");
                return Ok(());
            }
            (theirs, ours) => {
                return Err(TestCaseError::fail(format!(
                    "{format:?}: {theirs:?}, {ours:?}"
                )));
            }
        };
        if format.ends_with("0B") {
            return Ok(());
        }
        let framing = StructHeader::new(&format).unwrap();

        // What any bytes mean. The last byte is the length.
        let mut header: Vec<u8> = noise.iter().copied().cycle().take(size).collect();
        header[size - 1] = payload.len() as u8;
        let mut theirs = python.unpack(&format, &header);
        let repeated = theirs.len();
        prop_assert_eq!(theirs.pop(), Some(Value::Int(payload.len() as i128)));
        let ours = decode(&framing, &header, &payload);
        prop_assert!(same(&ours, &theirs), "{format:?}: {ours:?}, {theirs:?}");

        // What values are packed as. A value at a time may be of another sort or out of range, or
        // else hardly any header of many items would be valid.
        let values: Vec<Value> = theirs
            .iter()
            .enumerate()
            .map(|(index, model)| {
                let seed = &seeds[index % seeds.len()];
                if index == seeds[0].bits as usize % repeated {
                    seed.value(model)
                } else {
                    model.clone()
                }
            })
            .collect();
        check_pack(python, &format, framing, &values, &payload)
    });
}

/// Both pack the same bytes, or both refuse.
fn check_pack(
    python: &mut Python,
    format: &str,
    framing: StructHeader,
    values: &[Value],
    payload: &[u8],
) -> Result<(), TestCaseError> {
    let mut all = values.to_vec();
    all.push(Value::Int(payload.len() as i128));
    let theirs = python.pack(format, &all);
    let mut machine = Machine::new(framing);
    match (machine.framing_mut().set_header(values), theirs) {
        (Ok(()), Some(theirs)) => {
            machine.send(Bytes::copy_from_slice(payload)).unwrap();
            let wire = machine.outbox().take_bytes();
            let ours = &wire[..theirs.len()];
            prop_assert_eq!(&wire[theirs.len()..], payload);
            // What is no number has many spellings; all else has one.
            let nan = values
                .iter()
                .any(|value| matches!(value, Value::Float(v) if v.is_nan()));
            if nan {
                let (ours, theirs) = (python.unpack(format, ours), python.unpack(format, &theirs));
                prop_assert!(same(&ours, &theirs), "{format:?}: {values:?}");
            } else {
                prop_assert_eq!(hex(ours), hex(&theirs), "{:?}: {:?}", format, values);
            }
        }
        (Err(error), None) => prop_assert_eq!(error.kind(), ErrorKind::Unencodable),
        (ours, theirs) => {
            let ours = ours.map_err(|error| error.to_string());
            return Err(TestCaseError::fail(format!(
                "{format:?} {values:?}: {ours:?}, {theirs:?}"
            )));
        }
    }
    Ok(())
}

#[test]
fn each_code_packs_each_value_as_python_does() {
    let order = select(vec!["", "=", "<", ">"]);
    let code = select(vec![
        "c", "b", "B", "?", "h", "H", "i", "I", "l", "L", "q", "Q", "n", "N", "P", "e", "e", "e",
        "f", "f", "d", "s", "0s", "3s", "p", "2p", "5p", "300p",
    ]);
    against_python(
        5000,
        (order, code, seeds()),
        |python, (order, code, mut seeds)| {
            let format = format!("{order}{code}B");
            let Ok(size) = python.accepts(&format) else {
                prop_assert!(StructHeader::new(&format).is_err(), "{format}");
                return Ok(());
            };
            let model = python
                .unpack(&format, &vec![0xff; size as usize])
                .swap_remove(0);
            let mut seed = seeds.swap_remove(0);
            if seed.sort % 16 < 4 && seed.sort >= 64 {
                // All sorts, but mostly the right one.
                seed.sort |= 4;
            }
            let framing = StructHeader::new(&format).unwrap();
            check_pack(python, &format, framing, &[seed.value(&model)], b"hello")
        },
    );
}

#[test]
fn lengths_are_read_and_written_as_python_does() {
    let order = select(vec!["", "=", "<", ">", "!"]);
    let code = select("bBhHiIlLqQnNP".chars().collect::<Vec<_>>());
    let payload = 0..300_usize;
    against_python(
        2000,
        (order, code, payload, -150..150_i64),
        |python, case| {
            let (order, code, length, adjust) = case;
            let format = format!("{order}x{code}");
            let Ok(size) = python.accepts(&format) else {
                prop_assert!(StructHeader::new(&format).is_err(), "{format}");
                return Ok(());
            };
            let options = StructHeaderOptions::new(&format).adjust(adjust);
            let Ok(framing) = options.build(Limits::new()) else {
                prop_assert!(adjust < -126 && code == 'b', "{format} {adjust}");
                return Ok(());
            };
            let payload = vec![0x41; length];
            let said = length as i128 - i128::from(adjust);
            let mut machine = Machine::new(framing.clone());
            let sent = machine.send(payload.clone().into());
            match python.pack(&format, &[Value::Int(said)]) {
                Some(header) => {
                    prop_assert!(sent.is_ok(), "{format} {said}: {sent:?}");
                    let wire = machine.outbox().take_bytes();
                    prop_assert_eq!(&wire[..size as usize], &header[..]);
                    prop_assert!(decode(&framing, &header, &payload).is_empty());
                }
                None => {
                    let error = sent.unwrap_err();
                    prop_assert_eq!(error.kind(), ErrorKind::Unencodable);
                }
            }
            Ok(())
        },
    );
}
