"""The tables of the file in which changes are kept."""

TABLES = """
CREATE TABLE IF NOT EXISTS changes (
    number INTEGER PRIMARY KEY AUTOINCREMENT, batch TEXT NOT NULL, line INTEGER NOT NULL, product_id TEXT NOT NULL,
    op TEXT NOT NULL, record TEXT NOT NULL, seq INTEGER, updated_at INTEGER, content TEXT, state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '', accepted_s REAL NOT NULL, visible_s REAL, version INTEGER,
    turn INTEGER,          -- its place among those that are visible, in the order in which they became so
    file TEXT,             -- the feed's batch that it is to stand in
    filed INTEGER NOT NULL DEFAULT 0,
    taken_s REAL           -- when a version was first seen to have taken it in
);
CREATE INDEX IF NOT EXISTS changes_batch ON changes (batch, line);
CREATE INDEX IF NOT EXISTS changes_product ON changes (product_id);
CREATE INDEX IF NOT EXISTS changes_state ON changes (state) WHERE state = 'waiting';
CREATE UNIQUE INDEX IF NOT EXISTS changes_turn ON changes (turn) WHERE turn IS NOT NULL;
CREATE INDEX IF NOT EXISTS changes_unfiled ON changes (number) WHERE filed = 0 AND turn IS NOT NULL;
CREATE INDEX IF NOT EXISTS changes_old ON changes (taken_s) WHERE taken_s IS NOT NULL;
CREATE TABLE IF NOT EXISTS clock (one INTEGER PRIMARY KEY CHECK (one = 1), turn INTEGER NOT NULL);
INSERT OR IGNORE INTO clock VALUES (1, 0);
CREATE TABLE IF NOT EXISTS photos (
    number INTEGER NOT NULL, position INTEGER NOT NULL, crop_id TEXT NOT NULL, picture TEXT NOT NULL,
    PRIMARY KEY (number, position)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS photos_crop ON photos (crop_id);
CREATE INDEX IF NOT EXISTS photos_picture ON photos (picture);
CREATE TABLE IF NOT EXISTS pictures (picture TEXT PRIMARY KEY, jpeg BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS vectors (
    picture TEXT NOT NULL, model TEXT NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (picture, model)
) WITHOUT ROWID;
"""
