//! Reads lines, proves that each is a row of the tenant, and in the end that nothing was changed or cut off.

use std::fmt::Write as _;
use std::io::{BufRead, Read as _};

use ring::digest::{Context, Digest, SHA256};

use super::line::{self, END, LineFault, RowCounts};
use super::table::Table;
use super::{ArchiveError, Contents, FORMAT, Header, LINE_BYTES_MAX, VERSION};
use crate::migrate;

/// Rows in a batch at most, and bytes from which on a batch takes no more: a round trip costs more than a row.
const BATCH_ROWS_MAX: usize = 1000;
const BATCH_BYTES: usize = 4 << 20;

/// Lines of one table that follow each other.
pub(super) struct Batch {
    pub(super) table: Table,
    /// The lines as a JSON array.
    pub(super) rows: String,
    /// How many.
    pub(super) count: usize,
    /// Numbers of the first line and of the last.
    pub(super) lines: (u64, u64),
}

/// What stands next in an archive.
pub(super) enum Next {
    Rows(Batch),
    /// The end, which was proved to be the one that all bytes before it add up to.
    End(Contents),
}

/// An archive that is being read.
pub(super) struct Reader<R> {
    source: R,
    header: Header,
    digest: Context,
    rows: RowCounts,
    /// Number of the line that was read last.
    number: u64,
    /// The first row of the next batch; `None` behind the end.
    next: Option<(Table, String)>,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    pub(super) fn open(mut source: R) -> Result<Self, ArchiveError> {
        let line = read_line(&mut source, 0)?.ok_or(ArchiveError::CutOff { lines: 0 })?;
        let header: Header =
            serde_json::from_str(&line).map_err(|error| ArchiveError::Header(Some(error)))?;
        if (header.format.as_str(), header.version) != (FORMAT, VERSION) {
            return Err(ArchiveError::Header(None));
        }
        let known = migrate::schema_version();
        if header.schema > known {
            return Err(ArchiveError::Schema { found: header.schema, known, product: header.product });
        }
        let mut digest = Context::new(&SHA256);
        digest.update(line.as_bytes());
        let mut reader = Self { source, header, digest, rows: RowCounts::default(), number: 1, next: None };
        reader.next = reader.row()?;
        Ok(reader)
    }

    pub(super) const fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the next rows, or what was read.
    pub(super) fn next(&mut self) -> Result<Next, ArchiveError> {
        let Some((table, line)) = self.next.take() else { return Ok(Next::End(self.contents())) };
        let first = self.number;
        let mut batch = Batch { table, rows: String::from("["), count: 1, lines: (first, first) };
        batch.rows.push_str(&line);
        loop {
            self.next = self.row()?;
            match &self.next {
                Some((of, line))
                    if *of == table && batch.count < BATCH_ROWS_MAX && batch.rows.len() < BATCH_BYTES =>
                {
                    batch.rows.push(',');
                    batch.rows.push_str(line);
                    batch.count += 1;
                    batch.lines.1 = self.number;
                }
                _ => break,
            }
        }
        batch.rows.push(']');
        Ok(Next::Rows(batch))
    }

    fn contents(&self) -> Contents {
        let sha256 = hex(&self.digest.clone().finish());
        Contents { tenant: self.header.tenant.clone(), rows: self.rows.clone(), sha256 }
    }

    /// Reads a row, or proves that the end is the end.
    fn row(&mut self) -> Result<Option<(Table, String)>, ArchiveError> {
        let line = read_line(&mut self.source, self.number)?;
        let line = line.ok_or(ArchiveError::CutOff { lines: self.number })?;
        self.number += 1;
        if line.starts_with(END) {
            self.prove_end(&line)?;
            return Ok(None);
        }
        let table = line::table_of(&line, self.header.tenant.id).map_err(|fault| self.fault(fault))?;
        self.digest.update(line.as_bytes());
        self.rows.add(table);
        Ok(Some((table, line)))
    }

    fn prove_end(&mut self, line: &str) -> Result<(), ArchiveError> {
        let Contents { rows, sha256, .. } = self.contents();
        let expected = line::end(&rows, &sha256).map_err(|error| ArchiveError::Read(error.into()))?;
        if line.strip_suffix('\n') != Some(&expected) {
            return Err(ArchiveError::Changed { line: self.number });
        }
        if self.source.fill_buf().map_err(ArchiveError::Read)?.is_empty() {
            return Ok(());
        }
        self.number += 1;
        Err(self.fault(LineFault::BehindTheEnd))
    }

    fn fault(&self, fault: LineFault) -> ArchiveError {
        ArchiveError::Line { line: self.number, fault }
    }
}

/// Reads the line after line number `before`, with its line feed; `None` if there is none, or none that is whole.
fn read_line(source: &mut impl BufRead, before: u64) -> Result<Option<String>, ArchiveError> {
    let fault = |fault| ArchiveError::Line { line: before + 1, fault };
    let mut line = Vec::new();
    let most = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    source.take(most).read_until(b'\n', &mut line).map_err(ArchiveError::Read)?;
    match line.last() {
        Some(b'\n') => String::from_utf8(line).map(Some).map_err(|_| fault(LineFault::NotAnObject)),
        _ if line.len() == LINE_BYTES_MAX => Err(fault(LineFault::TooLong)),
        _ => Ok(None),
    }
}

pub(super) fn hex(digest: &Digest) -> String {
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
