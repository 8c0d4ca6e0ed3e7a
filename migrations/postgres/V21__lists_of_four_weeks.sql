-- Why: the most clicked links of months are added up from lists of four weeks (48 + the number of a kind), which are sums of those of weeks
-- (32 + it). Each has a mark (56 + it, with the same period, domain 0) for as long as it is that sum: whoever writes or removes a list of
-- a week takes the mark away, by whatever rule, a control of an earlier version too, and without it the list is not read and is made again.
-- period >> 2: four weeks from 1970 on. Lists may have blocks of counts from here on, which a control of an earlier version cannot read:
-- until it is upgraded, too, it leaves such lists to the others and refuses questions about the most clicked links of their time.
CREATE FUNCTION click_unmark_four_weeks() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    week click_lists%ROWTYPE;
BEGIN
    IF TG_OP = 'DELETE' THEN
        week := OLD;
    ELSE
        week := NEW;
    END IF;
    DELETE FROM click_lists WHERE list = week.list + 24 AND period = week.period >> 2;
    RETURN NULL;
END $$;
CREATE TRIGGER click_week_list_written AFTER INSERT OR UPDATE ON click_lists FOR EACH ROW
    WHEN (NEW.list BETWEEN 32 AND 47) EXECUTE FUNCTION click_unmark_four_weeks();
CREATE TRIGGER click_week_list_gone AFTER DELETE ON click_lists FOR EACH ROW
    WHEN (OLD.list BETWEEN 32 AND 47) EXECUTE FUNCTION click_unmark_four_weeks();
