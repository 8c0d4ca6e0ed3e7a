-- Why: a search path that does not name pg_temp has it in front, and whoever may make temporary tables could give the owner's
-- functions others than those that are meant. It stands last now, behind the schema of the tables.
DO $$
DECLARE
    name TEXT;
BEGIN
    FOREACH name IN ARRAY ARRAY['click_ready_month', 'click_ready_day', 'click_forget_days'] LOOP
        EXECUTE format('ALTER FUNCTION %I(BIGINT) SET search_path = %I, pg_temp', name, current_schema());
    END LOOP;
END $$;
