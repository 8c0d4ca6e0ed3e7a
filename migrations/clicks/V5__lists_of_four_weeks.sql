-- Why: the most clicked links of months are added up from lists of four weeks (48 + the number of a kind), which are sums of those of weeks
-- (32 + it). Each has a mark (56 + it, with the same period, domain 0) for as long as it is that sum: whoever writes or removes a list of
-- a week takes the mark away, by whatever rule, and without it the list is not read and is made again. period >> 2: four weeks from 1970 on.
-- Lists may have blocks of counts from here on, which an earlier linkr cannot read (store/src/clicks/lists/blocks.rs).
CREATE TRIGGER week_list_made AFTER INSERT ON lists WHEN new.list BETWEEN 32 AND 47 BEGIN
    DELETE FROM lists WHERE list = new.list + 24 AND period = new.period >> 2;
END;
CREATE TRIGGER week_list_changed AFTER UPDATE ON lists WHEN new.list BETWEEN 32 AND 47 BEGIN
    DELETE FROM lists WHERE list = new.list + 24 AND period = new.period >> 2;
END;
CREATE TRIGGER week_list_gone AFTER DELETE ON lists WHEN old.list BETWEEN 32 AND 47 BEGIN
    DELETE FROM lists WHERE list = old.list + 24 AND period = old.period >> 2;
END;
