-- Which file this is while it is open, and where its log ended when it was closed. A copy of an open file is known by it.
-- Written when the store is opened; a row without an inode is that of a backup, which belongs to no file yet.
CREATE TABLE opened (
    one           INTEGER PRIMARY KEY CHECK (one = 1),
    nonce         INTEGER NOT NULL, -- while it is open: PRAGMA user_version; 0: it is closed
    inode         INTEGER,
    device        INTEGER,
    born          INTEGER,          -- nanoseconds since 1970, where the file system knows
    boot          TEXT,             -- of the kernel: the number of a device holds until the next one
    salt          INTEGER,          -- of the first write-ahead log of this opening
    epoch_counter INTEGER,
    epoch_random  INTEGER,
    head          INTEGER,
    tag           INTEGER
);
