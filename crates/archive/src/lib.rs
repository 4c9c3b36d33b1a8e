//! PostgreSQL's custom archive format: push parser, patcher, block writer and reader, codecs.
