//! Archives made byte by byte from the format's description, independently of the crate's writers.

/// An integer: sign, magnitude.
pub(crate) fn int(value: i64) -> Vec<u8> {
    let mut bytes = vec![u8::from(value < 0)];
    bytes.extend_from_slice(&u32::try_from(value.abs()).unwrap().to_le_bytes());
    bytes
}

/// A string or NULL.
pub(crate) fn string(text: Option<&[u8]>) -> Vec<u8> {
    match text {
        Some(text) => [int(text.len() as i64), text.to_vec()].concat(),
        None => int(-1),
    }
}

/// The fields of an entry that tests vary.
#[derive(Clone, Debug)]
pub(crate) struct EntryBytes {
    pub(crate) id: i64,
    pub(crate) has_data: bool,
    pub(crate) oid: &'static str,
    pub(crate) tag: Vec<u8>,
    pub(crate) description: Vec<u8>,
    pub(crate) section: i64,
    pub(crate) definition: Option<Vec<u8>>,
    pub(crate) copy: Option<Vec<u8>>,
    pub(crate) owner: Option<Vec<u8>>,
    pub(crate) dependencies: Vec<i64>,
    pub(crate) state: u8,
    pub(crate) position: u64,
}

impl EntryBytes {
    pub(crate) fn new(id: i64, description: &str, tag: &[u8], section: i64) -> Self {
        Self {
            id,
            has_data: false,
            oid: "1259",
            tag: tag.to_vec(),
            description: description.as_bytes().to_vec(),
            section,
            definition: Some(b"CREATE\n".to_vec()),
            copy: None,
            owner: Some(b"\xe9t\xe9".to_vec()),
            dependencies: Vec::new(),
            state: 3,
            position: 0,
        }
    }

    pub(crate) fn data(id: i64, description: &str, tag: &[u8]) -> Self {
        let mut entry = Self::new(id, description, tag, 3);
        entry.has_data = true;
        entry.definition = Some(Vec::new());
        entry.copy = (description == "TABLE DATA").then(|| b"COPY public.t (a) FROM stdin;\n".to_vec());
        entry.state = 1;
        entry
    }

    pub(crate) fn after(mut self, dependencies: &[i64]) -> Self {
        self.dependencies = dependencies.to_vec();
        self
    }

    pub(crate) fn defined(mut self, definition: &[u8]) -> Self {
        self.definition = Some(definition.to_vec());
        self
    }

    pub(crate) fn bytes(&self, minor: u8) -> Vec<u8> {
        let mut out = [int(self.id), int(self.has_data.into())].concat();
        out.extend(string(Some(b"0")));
        out.extend(string(Some(self.oid.as_bytes())));
        out.extend(string(Some(&self.tag)));
        out.extend(string(Some(&self.description)));
        out.extend(int(self.section));
        out.extend(string(self.definition.as_deref()));
        out.extend(string(Some(b"")));
        out.extend(string(self.copy.as_deref()));
        out.extend(string(Some(b"pub,lic")));
        out.extend(string(None));
        out.extend(string(Some(b"heap")));
        if minor >= 16 {
            out.extend(int(i64::from(b'r')));
        }
        out.extend(string(self.owner.as_deref()));
        out.extend(string(Some(b"false")));
        for dependency in &self.dependencies {
            out.extend(string(Some(dependency.to_string().as_bytes())));
        }
        out.extend(string(None));
        out.push(self.state);
        out.extend_from_slice(&self.position.to_le_bytes());
        out
    }
}

/// Header and contents.
pub(crate) fn head(minor: u8, compression: i8, entries: &[EntryBytes]) -> Vec<u8> {
    let mut out = [&b"PGDMP"[..], &[1, minor, 0, 4, 8, 1]].concat();
    if minor >= 15 {
        out.push(compression.try_into().unwrap());
    } else {
        out.extend(int(compression.into()));
    }
    for part in [59, 58, 23, 31, 11, 126, 0] {
        out.extend(int(part));
    }
    out.extend(string(Some(b"caf\xe9")));
    out.extend(string(Some(b"16.15")));
    out.extend(string(None));
    out.extend(int(entries.len() as i64));
    out.extend(entries.iter().flat_map(|entry| entry.bytes(minor)));
    out
}

/// Contents as pg_dump orders them: tables 30, 31, 32 (32 refers to 30), large objects 40 and 41.
pub(crate) fn sample_entries() -> Vec<EntryBytes> {
    let mut encoding = EntryBytes::new(1, "ENCODING", b"ENCODING", 2).defined(b"SET client_encoding = 'LATIN1';\n");
    encoding.owner = None;
    vec![
        encoding,
        EntryBytes::new(10, "TABLE", b"t0", 2).after(&[2_000_000_000, 5, 5]),
        EntryBytes::new(12, "BLOB METADATA", b"16385..16385", 2).defined(b"16385"),
        EntryBytes::new(13, "BLOB METADATA", b"3000000001..3000000001", 2).defined(b"3000000001"),
        EntryBytes::data(30, "TABLE DATA", b"t\xff0").after(&[10]),
        EntryBytes::data(31, "TABLE DATA", b"t1").after(&[10]),
        EntryBytes::data(32, "TABLE DATA", b"t2").after(&[10, 30]),
        EntryBytes::new(35, "SEQUENCE SET", b"s", 3),
        EntryBytes::data(40, "BLOBS", b"BLOBS").after(&[12]),
        EntryBytes::data(41, "BLOBS", b"BLOBS").after(&[13]),
        EntryBytes::new(50, "INDEX", b"i", 4).after(&[10]),
    ]
}

/// One chunk.
pub(crate) fn chunk(bytes: &[u8]) -> Vec<u8> {
    [int(bytes.len() as i64), bytes.to_vec()].concat()
}

/// A block of table data with these chunks.
pub(crate) fn table_block(id: i64, chunks: &[&[u8]]) -> Vec<u8> {
    let mut out = [vec![1], int(id)].concat();
    out.extend(chunks.iter().flat_map(|bytes| chunk(bytes)));
    out.extend(int(0));
    out
}

/// A block of large objects: signed OID and chunks each.
pub(crate) fn large_objects_block(id: i64, objects: &[(i64, &[&[u8]])]) -> Vec<u8> {
    let mut out = [vec![3], int(id)].concat();
    for (oid, chunks) in objects {
        out.extend(int(*oid));
        out.extend(chunks.iter().flat_map(|bytes| chunk(bytes)));
        out.extend(int(0));
    }
    out.extend(int(0));
    out
}

/// A whole uncompressed archive of [`sample_entries`], with a filler block; and where its six blocks begin.
pub(crate) fn sample_archive(minor: u8) -> (Vec<u8>, Vec<usize>) {
    let mut out = head(minor, 0, &sample_entries());
    let mut begins = Vec::new();
    for block in [
        table_block(30, &[b"a\n", b"b\n", b"\\.\n\n\n"]),
        table_block(31, &[b"\\.\n\n\n"]),
        table_block(2_000_000_001, &[]),
        table_block(32, &[b"c", b"\n\\.\n\n\n"]),
        large_objects_block(40, &[(16385, &[b"first", b"second"]), (16386, &[])]),
        large_objects_block(41, &[(3_000_000_001 - (1 << 32), &[b"third"]), (-(1 << 31), &[b"fourth"])]),
    ] {
        begins.push(out.len());
        out.extend(block);
    }
    (out, begins)
}
