-- Why: lists of a domain, the newest links first, in pages that cost the same at any depth.

CREATE INDEX links_create_time ON links (substr(key, 1, 4), create_time, key);
CREATE INDEX links_update_time ON links (substr(key, 1, 4), update_time, key);
