#!/usr/bin/env python3
"""Checks the vectors in this folder with plain Python: an implementation of each framing that
shares nothing with the one in Rust, on `struct`, `json` and slices.

    python3 check.py [FRAMING ...]

Prints for each framing how many vectors agree and what is left out, and exits with 1 on a
mismatch. Needs nothing but the standard library of Python 3.9 or newer.
"""

import json
import os
import re
import struct
import sys
from collections import Counter

HERE = os.path.dirname(os.path.abspath(__file__))

# Why a whole framing is left to others.
LEFT_OUT = {
    "ack-handshake": "it talks back, and these readers only read",
    "pair": "it is two of the others",
    "raw": "it depends on the reads, and these readers see the whole stream",
}


class Bad(Exception):
    """A bad frame. `behind` tells where the next one begins, if that can be known."""

    def __init__(self, kind, offset, declared=None, behind=None):
        super().__init__(kind)
        self.error = {"kind": kind, "offset": offset}
        if declared is not None:
            self.error["declared"] = str(declared)
        self.behind = behind


class More(Exception):
    """The stream ends too early: in which part, behind how many bytes of it, of how many."""

    def __init__(self, part, have, need=None):
        super().__init__(part)
        self.part, self.have, self.need = part, have, need


class Refused(Exception):
    """A frame that cannot be written."""


def byte_string(value):
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value.encode()


def one_byte(value):
    return bytes([value]) if isinstance(value, int) else byte_string(value)


def end_of(data, start, length):
    """Where a body ends."""
    if len(data) < start + length:
        raise More("body", len(data) - start, length)
    return start + length


class Framing:
    """What is common to all: the limits."""

    def __init__(self, options):
        options = dict(options)
        self.chosen = "max_frame" in options
        self.max_frame = options.pop("max_frame", 16 * 1024 * 1024)
        self.allow_empty = options.pop("allow_empty", True)
        self.max_empty_run = options.pop("max_empty_run", 1000)
        self.skips = options.pop("on_error", "close") == "skip"
        self.empty_run = 0
        self.configure(**options)

    def configure(self):
        pass

    def admit(self, length, offset, behind, declared=True):
        """Judges the length of a frame that arrives. A flood is never skipped."""
        if length > self.max_frame:
            raise Bad("too-long", offset, length if declared else None, behind)
        if length > 0:
            self.empty_run = 0
        elif not self.allow_empty:
            raise Bad("malformed", offset, behind=behind)
        elif self.empty_run == self.max_empty_run:
            raise Bad("malformed", offset)
        else:
            self.empty_run += 1

    def permit(self, length):
        """Judges the length of a frame to be sent."""
        if length > self.max_frame or (length == 0 and not self.allow_empty):
            raise Refused

    def read(self, data, at, ended):
        """The frame at `at`, or None for bytes that are passed over, and where it ends."""
        raise NotImplementedError

    def write(self, frame):
        raise NotImplementedError


class StructHeader(Framing):
    def configure(self, format="!I", length=None, counts="payload", adjust=0, constants=None,
                  strict_pad=False, strip=None):
        self.layout = struct.Struct(format)
        self.size = self.layout.size
        self.blank = self.layout.unpack(bytes(self.size))
        self.places = list(self.places_in(format))
        self.length = len(self.blank) - 1 if length is None else length
        self.difference = adjust - (self.size if counts == "frame" else 0)
        self.strip = self.size if strip is None else strip
        constants = ["any"] * (len(self.blank) - 1) if constants is None else list(constants)
        constants.insert(self.length, "any")
        self.constants = [self.constant(c, b) for c, b in zip(constants, self.blank)]
        self.wanted = self.what_must_be(strict_pad)
        if not self.chosen:
            code, place = self.places[self.length]
            most = 2 ** (8 * len(place) - code.islower()) - 1
            self.max_frame = min(self.max_frame, most + self.difference + self.size - self.strip)

    @staticmethod
    def places_in(format):
        """Each item's code, and the bytes of the header that it stands in."""
        order, codes = re.fullmatch(r"([@=<>!]?)(.*)", format.replace(" ", "")).groups()
        before = order
        for count, code in re.findall(r"(\d*)(.)", codes):
            times, one = (1, count + code) if code in "sp" else (int(count or 1), code)
            for _ in range(times):
                before += one
                if code != "x":
                    end = struct.calcsize(before)
                    yield code, range(end - struct.calcsize(order + one), end)

    @staticmethod
    def constant(value, blank):
        if value == "any":
            return None
        return byte_string(value) if isinstance(blank, bytes) else value

    def pack(self, value):
        items = [b if c is None else c for c, b in zip(self.constants, self.blank)]
        items[self.length] = value
        return self.layout.pack(*items)

    def what_must_be(self, strict_pad):
        """The bytes of a header that are the same in all of them."""
        packed, wanted = self.pack(0), {}
        pads = set(range(self.size)).difference(*(place for _, place in self.places))
        if strict_pad:
            wanted.update((at, 0) for at in pads)
        for constant, (_, place) in zip(self.constants, self.places):
            if constant is not None:
                wanted.update((at, packed[at]) for at in place)
        return sorted(wanted.items())

    def read(self, data, at, ended):
        header = data[at:at + self.size]
        for position, byte in self.wanted:
            if position < len(header) and header[position] != byte:
                raise Bad("malformed", at + position)
        if len(header) < self.size:
            raise More("header", len(header), self.size)
        trouble, start = at + self.places[self.length][1][0], at + self.size
        body = self.layout.unpack(header)[self.length] + self.difference
        if body < 0:
            raise Bad("malformed", trouble)
        self.admit(body + self.size - self.strip, trouble, lambda: end_of(data, start, body))
        end = end_of(data, start, body)
        return data[at + self.strip:end], end

    def write(self, frame):
        self.permit(len(frame))
        kept = self.size - self.strip
        try:
            header = self.pack(len(frame) - kept - self.difference)
        except struct.error:
            raise Refused from None
        # What stays of the header comes with the frame. The items in it that are neither the
        # length nor constant are the sender's, which no vector makes use of.
        if kept and header[self.strip:] != frame[:kept]:
            raise Refused
        return header[:self.strip] + frame


class LengthField(Framing):
    def configure(self, offset=0, width=4, endian="big", signed=False, adjust=0, strip=None):
        self.offset, self.width, self.endian, self.signed = offset, width, endian, signed
        self.adjust = adjust
        self.size = offset + width
        self.strip = self.size if strip is None else strip
        if not self.chosen:
            most = 2 ** (8 * width - signed) - 1 + adjust + self.size - self.strip
            self.max_frame = min(self.max_frame, most)

    def read(self, data, at, ended):
        if len(data) - at < self.size:
            raise More("header", len(data) - at, self.size)
        trouble, start = at + self.offset, at + self.size
        body = int.from_bytes(data[trouble:start], self.endian, signed=self.signed) + self.adjust
        if body < 0:
            raise Bad("malformed", trouble)
        self.admit(body + self.size - self.strip, trouble, lambda: end_of(data, start, body))
        end = end_of(data, start, body)
        return data[at + self.strip:end], end

    def write(self, frame):
        self.permit(len(frame))
        kept = self.size - self.strip
        value = len(frame) - kept - self.adjust
        try:
            field = value.to_bytes(self.width, self.endian, signed=self.signed)
        except OverflowError:
            raise Refused from None
        header = bytes(self.offset) + field
        if header[self.strip:] != frame[:kept]:
            raise Refused
        return header[:self.strip] + frame


class Varint(Framing):
    def configure(self, canonical=False):
        self.canonical = canonical

    def read(self, data, at, ended):
        length = 0
        for position in range(10):
            if at + position == len(data):
                raise More("header", position)
            byte = data[at + position]
            if position == 9 and byte > 1:
                raise Bad("malformed", at + position)
            length |= (byte & 0x7F) << 7 * position
            if byte < 0x80:
                break
        if self.canonical and byte == 0 and position > 0:
            raise Bad("malformed", at + position)
        start = at + position + 1
        self.admit(length, at, lambda: end_of(data, start, length))
        end = end_of(data, start, length)
        return data[start:end], end

    def write(self, frame):
        self.permit(len(frame))
        length, digits = len(frame), []
        while True:
            length, digit = divmod(length, 128)
            digits.append(digit + (128 if length else 0))
            if not length:
                return bytes(digits) + frame


class Fixed(Framing):
    def configure(self, size, pad=None):
        self.size = self.max_frame = size
        self.pad = None if pad is None else one_byte(pad)

    def read(self, data, at, ended):
        if len(data) - at < self.size:
            raise More("body", len(data) - at, self.size)
        return data[at:at + self.size], at + self.size

    def write(self, frame):
        self.permit(len(frame))
        if len(frame) < self.size and self.pad is None:
            raise Refused
        return frame + (self.pad or b"") * (self.size - len(frame))


class Netstring(Framing):
    def read(self, data, at, ended):
        digits = 0
        while data[at + digits:at + digits + 1].isdigit():
            digits += 1
            if digits == 2 and data[at:at + 1] == b"0":
                raise Bad("malformed", at)
            if digits == 21:
                raise Bad("too-long", at, int(data[at:at + digits]))
        if at + digits == len(data):
            raise More("header", digits)
        if not digits or data[at + digits] != ord(":"):
            raise Bad("malformed", at + digits)
        length, start = int(data[at:at + digits]), at + digits + 1
        self.admit(length, at, lambda: self.comma(data, end_of(data, start, length)))
        end = end_of(data, start, length)
        return data[start:end], self.comma(data, end)

    @staticmethod
    def comma(data, at):
        if at == len(data):
            raise More("delimiter", 0, 1)
        if data[at] != ord(","):
            raise Bad("malformed", at)
        return at + 1

    def write(self, frame):
        self.permit(len(frame))
        return b"%d:%b," % (len(frame), frame)


class Stuffed(Framing):
    """Blocks that end at a byte which stands in none of them."""

    def read(self, data, at, ended):
        end = data.find(self.mark, at)
        if end == at:
            return None, at + 1
        block = data[at:] if end < 0 else data[at:end]
        # Over the limit whatever its end turns out to be.
        if self.least(block) > self.max_frame:
            raise Bad("too-long", at, behind=lambda: self.behind(end))
        if end < 0:
            raise More("delimiter", len(block))
        try:
            frame = self.unstuff(block)
        except Bad as bad:
            raise Bad("malformed", at + bad.error["offset"], behind=lambda: end + 1) from None
        self.admit(len(frame), at, lambda: end + 1, declared=False)
        return frame, end + 1

    @staticmethod
    def behind(mark):
        if mark < 0:
            # Nothing is kept of a frame that is passed over.
            raise More("delimiter", 0)
        return mark + 1


class Cobs(Stuffed):
    def configure(self, sentinel=0, leading=False):
        self.mark = one_byte(sentinel)
        self.leading = leading

    def least(self, block):
        """The fewest bytes that a block begun so can stand for."""
        return len(block) - 1 - len(block) // 255

    def swap(self, block):
        return bytes(byte ^ self.mark[0] for byte in block)

    def unstuff(self, block):
        block, frame, at = self.swap(block), b"", 0
        while at < len(block):
            code = block[at]
            if at + code > len(block):
                raise Bad("malformed", at)
            frame += block[at + 1:at + code]
            at += code
            if code < 255 and at < len(block):
                frame += b"\0"
        return frame

    def write(self, frame):
        self.permit(len(frame))
        out = b""
        for run in frame.split(b"\0"):
            full = len(run) // 254 * 254
            for at in range(0, full, 254):
                out += b"\xff" + run[at:at + 254]
            out += bytes([len(run) - full + 1]) + run[full:]
        # A full run stands for no zero behind it, so at the end it needs none taken away.
        if full and full == len(run):
            out = out[:-1]
        return (self.mark if self.leading else b"") + self.swap(out) + self.mark


class Slip(Stuffed):
    mark = b"\xc0"

    def configure(self, leading=True, invalid_escape="error"):
        self.leading = leading
        self.passes = invalid_escape == "pass"

    def least(self, block):
        return len(block) - block.count(b"\xdb")

    def unstuff(self, block):
        frame, at = b"", 0
        while at < len(block):
            byte = block[at:at + 1]
            if byte == b"\xdb":
                at += 1
                byte = block[at:at + 1]
                known = {b"\xdc": b"\xc0", b"\xdd": b"\xdb"}
                if not byte or not (self.passes or byte in known):
                    raise Bad("malformed", at)
                byte = known.get(byte, byte)
            frame += byte
            at += 1
        return frame

    def write(self, frame):
        self.permit(len(frame))
        if not frame:
            raise Refused
        frame = frame.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
        return (b"\xc0" if self.leading else b"") + frame + b"\xc0"


class Delimiter(Framing):
    def configure(self, delimiter="\n", strip=True, escape=None, at_eof="error",
                  skip_empty=False):
        marks = delimiter if isinstance(delimiter, list) else [delimiter]
        self.marks = [byte_string(mark) for mark in marks]
        self.strip, self.emits, self.skip_empty = strip, at_eof == "emit", skip_empty
        self.escape = None if escape is None else one_byte(escape)

    def scan(self, data, at):
        """The payload up to the first mark, and where the mark stands; no place if there is none.

        The payload then ends in front of what may become a mark.
        """
        payload, here = bytearray(), at
        while here < len(data):
            if self.escape and data[here:here + 1] == self.escape:
                if here + 1 == len(data):
                    return bytes(payload), None
                payload += data[here + 1:here + 2]
                here += 2
                continue
            found = [mark for mark in self.marks if data.startswith(mark, here)]
            if found:
                return bytes(payload), (here, max(found, key=len))
            if any(mark.startswith(data[here:]) for mark in self.marks):
                return bytes(payload), None
            payload += data[here:here + 1]
            here += 1
        return bytes(payload), None

    def read(self, data, at, ended):
        payload, mark = self.scan(data, at)
        if mark is None:
            return self.rest(data, at, payload, ended)
        end = mark[0] + len(mark[1])
        if not payload and self.skip_empty:
            return None, end
        kept = b"" if self.strip else mark[1]
        length = len(payload + kept) if payload else 0
        self.admit(length, at, lambda: end, declared=False)
        return self.checked(payload, at, end) + kept, end

    def rest(self, data, at, payload, ended):
        over = len(payload) + (0 if self.strip else min(map(len, self.marks)))
        if payload and over > self.max_frame:
            raise Bad("too-long", at, behind=lambda: self.passed(data))
        if not ended or not self.emits:
            raise More("delimiter", len(data) - at)
        if self.escape:
            length = len(data) - at
            if data[at:].replace(self.escape * 2, b"").endswith(self.escape):
                raise More("body", length, length + 1)
        else:
            payload = data[at:]
        self.admit(len(payload), at, lambda: len(data), declared=False)
        return self.checked(payload, at, len(data)), len(data)

    def passed(self, data):
        if not self.emits:
            # Nothing is kept of a frame that is passed over.
            raise More("delimiter", 0)
        return len(data)

    def checked(self, payload, at, end):
        return payload

    def write(self, frame):
        payload, mark = frame, self.marks[0]
        if not self.strip:
            found = [mark for mark in self.marks if frame.endswith(mark)]
            if not found:
                raise Refused
            mark = max(found, key=len)
            payload = frame[:-len(mark)]
        self.permit(len(frame) if payload else 0)
        if not payload and self.skip_empty:
            raise Refused
        if self.escape:
            special = {self.escape} | {mark[:1] for mark in self.marks}
            parts = (bytes([byte]) for byte in payload)
            return b"".join(self.escape + p if p in special else p for p in parts) + mark
        # Whatever is not read back as it is cannot be written.
        if self.scan(payload + mark, 0) != (payload, (len(payload), mark)):
            raise Refused
        return payload + mark


class Lines(Delimiter):
    def configure(self, ending="\n", at_eof="emit"):
        other = {"\n": "\r\n", "\r\n": "\n"}[ending]
        super().configure(delimiter=[ending, other], at_eof=at_eof)

    def checked(self, payload, at, end):
        try:
            payload.decode()
        except UnicodeDecodeError as error:
            raise Bad("malformed", at + error.start, behind=lambda: end) from None
        return payload

    def write(self, frame):
        try:
            frame.decode()
        except UnicodeDecodeError:
            raise Refused from None
        return super().write(frame)


class JsonHeader(Framing):
    def configure(self, format="!I", size="size", max_header=64 * 1024):
        self.layout, self.key, self.max_header = struct.Struct(format), size, max_header

    def read(self, data, at, ended):
        start = at + self.layout.size
        if len(data) < start:
            raise More("header", len(data) - at, self.layout.size)
        (length,) = self.layout.unpack(data[at:start])
        if length <= 0:
            raise Bad("malformed", at)
        if length > self.max_header:
            raise Bad("too-long", at, length)
        if len(data) < start + length:
            raise More("header", len(data) - at, self.layout.size + length)
        size = self.size_in(data[start:start + length], start)
        body = start + length
        self.admit(size, start, lambda: end_of(data, body, size))
        end = end_of(data, body, size)
        return data[body:end], end

    def size_in(self, header, start):
        def no_number(text):
            raise ValueError(text)

        try:
            text = header.decode()
        except UnicodeDecodeError as error:
            raise Bad("malformed", start + error.start) from None
        try:
            # As pairs: a key that is there twice is seen.
            pairs = json.loads(text, object_pairs_hook=Pairs, parse_constant=no_number)
        except ValueError:
            raise Bad("malformed", start) from None
        sizes = [value for key, value in pairs if key == self.key] if type(pairs) is Pairs else []
        if len(sizes) != 1 or type(sizes[0]) is not int or sizes[0] < 0:
            raise Bad("malformed", start)
        return sizes[0]

    def write(self, frame):
        self.permit(len(frame))
        header = json.dumps({self.key: len(frame)}, separators=(",", ":")).encode()
        try:
            return self.layout.pack(len(header)) + header + frame
        except struct.error:
            raise Refused from None


class Pairs(list):
    """The members of a JSON object."""


FRAMINGS = {
    "cobs": Cobs,
    "delimiter": Delimiter,
    "fixed": Fixed,
    "json-header": JsonHeader,
    "length-field": LengthField,
    "lines": Lines,
    "netstring": Netstring,
    "slip": Slip,
    "struct-header": StructHeader,
    "varint": Varint,
}


def decode(framing, data, ended):
    """Frames, skipped errors and the last error, as they stand in a vector."""
    frames, skipped, at = [], [], 0
    try:
        while at < len(data):
            try:
                frame, at = framing.read(data, at, ended)
            except Bad as bad:
                if not framing.skips or bad.behind is None:
                    raise
                skipped.append({"after": len(frames), **bad.error})
                at = bad.behind()
                continue
            if frame is not None:
                frames.append(frame.hex())
    except Bad as bad:
        return frames, skipped, bad.error
    except More as more:
        if not ended:
            return frames, skipped, None
        error = {"kind": "truncated", "offset": len(data), "part": more.part, "have": more.have}
        if more.need is not None:
            error["need"] = more.need
        return frames, skipped, error
    return frames, skipped, None


def check_decode(make, vector):
    framing = make(vector["options"])
    data = bytes.fromhex("".join(vector["chunks"]))
    got = decode(framing, data, not vector.get("open", False))
    return got, (vector["frames"], vector.get("skipped", []), vector.get("error"))


def check_encode(make, vector):
    framing, got = make(vector["options"]), []
    for frame in vector["frames"]:
        try:
            got.append(framing.write(bytes.fromhex(frame)).hex())
        except Refused:
            got.append(None)
    return got, vector["wire"]


def check(name):
    """Runs one file; the number of mismatches."""
    with open(os.path.join(HERE, name + ".json"), encoding="utf-8") as file:
        content = json.load(file)
    vectors = [(check_decode, v) for v in content["decode"]]
    vectors += [(check_encode, v) for v in content["encode"]]
    if name not in FRAMINGS:
        reason = LEFT_OUT.get(name, "this program does not know it")
        print(f"{name}: SKIPPED {len(vectors)}: {reason}")
        return 0
    agreed, wrong, left_out = 0, 0, Counter()
    for run, vector in vectors:
        if (vector.get("error") or {}).get("kind") == "config":
            left_out["options that must be refused"] += 1
            continue
        try:
            got, expected = run(FRAMINGS[name], vector)
        except Exception as error:  # A reader that fails must not hide the other vectors.
            got, expected = repr(error), "no such failure"
        if got == expected:
            agreed += 1
            continue
        wrong += 1
        print(f"{name}: MISMATCH in {vector['name']!r}\n  here: {got}\n  file: {expected}")
    skipped = "".join(f", SKIPPED {count}: {reason}" for reason, count in left_out.items())
    print(f"{name}: {agreed} agree, {wrong} do not{skipped}")
    return wrong


def main(names):
    files = sorted(n[:-5] for n in os.listdir(HERE) if n.endswith(".json"))
    return 1 if sum(check(name) for name in names or files) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
