-- Roles belong to the whole server, which other tests may be preparing at this moment.
DO $roles$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['awkward_owner', 'awkward_reader', 'Lesende "Rolle"', 'awkward_group'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I', role);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END
$roles$;
