"""The rows of a database, kept in the database itself, and put back after a test that commits.

Nothing is read into Python, whose values need not be those of the server. A table is put back only
if its rows are not those of the snapshot: each row's place and its last writer's transaction tell.
"""

TAKE = (
    "CREATE SCHEMA snapshot",
    # Partitions hold the rows of a partitioned table. What an extension made is left alone.
    """
    CREATE FUNCTION snapshot.tables() RETURNS TABLE (relation regclass, kind "char", layout text)
    LANGUAGE sql AS $$
        SELECT pg_class.oid, relkind, string_agg(attname || ' ' || atttypid, ', ' ORDER BY attnum)
        FROM pg_class
        JOIN pg_namespace ON pg_namespace.oid = relnamespace
        LEFT JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
        WHERE relkind IN ('r', 'm') AND relispopulated AND relpersistence <> 't'
        AND nspname NOT IN ('information_schema', 'pg_catalog', 'snapshot')
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
        GROUP BY pg_class.oid
    $$
    """,
    """
    CREATE FUNCTION snapshot.fingerprint(relation regclass) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE fingerprint text;
    BEGIN
        EXECUTE format(
            'SELECT concat(count(*), sum(hashtextextended(concat(ctid, xmin), 0))) FROM ONLY %s',
            relation
        ) INTO fingerprint;
        RETURN fingerprint;
    END $$
    """,
    """
    CREATE TABLE snapshot.fingerprints AS
    SELECT relation::oid, kind, layout, snapshot.fingerprint(relation) FROM snapshot.tables()
    """,
    """
    CREATE TABLE snapshot.sequences AS
    SELECT schemaname, sequencename, last_value FROM pg_sequences
    """,
    """
    DO $$
    DECLARE kept record;
    BEGIN
        FOR kept IN SELECT relation::regclass FROM snapshot.fingerprints WHERE kind = 'r' LOOP
            EXECUTE format(
                'CREATE TABLE snapshot.%I AS SELECT * FROM ONLY %s',
                kept.relation::oid,
                kept.relation
            );
        END LOOP;
    END $$
    """,
    # As a replica, the server fires no trigger and checks no foreign key: the rows were all right.
    """
    CREATE FUNCTION snapshot.put_back() RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
        changed record;
        columns text;
    BEGIN
        IF EXISTS (
            SELECT relation::oid, layout FROM snapshot.tables()
            EXCEPT SELECT relation, layout FROM snapshot.fingerprints
        ) OR EXISTS (
            SELECT relation, layout FROM snapshot.fingerprints
            EXCEPT SELECT relation::oid, layout FROM snapshot.tables()
        ) THEN
            RAISE 'The test changed the schema. Let it use fresh_database instead of committed.';
        END IF;
        BEGIN
            PERFORM set_config('session_replication_role', 'replica', true);
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE 'The fixture "committed" needs a superuser, or a role that was given this: '
                'GRANT SET ON PARAMETER session_replication_role TO %', current_user;
        END;
        FOR changed IN
            SELECT relation, relation::regclass AS name, kind FROM snapshot.fingerprints
            WHERE snapshot.fingerprint(relation::regclass) <> fingerprint
            ORDER BY kind DESC, relation
        LOOP
            IF changed.kind = 'm' THEN
                EXECUTE format('REFRESH MATERIALIZED VIEW %s', changed.name);
            ELSE
                SELECT string_agg(quote_ident(attname), ', ') INTO columns FROM pg_attribute
                WHERE attrelid = changed.relation AND attnum > 0 AND NOT attisdropped
                AND attgenerated = '';
                EXECUTE format('DELETE FROM ONLY %s', changed.name);
                IF columns IS NOT NULL THEN
                    EXECUTE format(
                        'INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM snapshot.%I',
                        changed.name, columns, columns, changed.relation
                    );
                END IF;
            END IF;
            UPDATE snapshot.fingerprints
            SET fingerprint = snapshot.fingerprint(changed.name) WHERE relation = changed.relation;
        END LOOP;
        PERFORM setval(format('%I.%I', schemaname, sequencename), before.last_value)
        FROM snapshot.sequences AS before JOIN pg_sequences AS now USING (schemaname, sequencename)
        WHERE coalesce(now.last_value, 0) < before.last_value;
    END $$
    """,
)
PUT_BACK = "SELECT snapshot.put_back()"
