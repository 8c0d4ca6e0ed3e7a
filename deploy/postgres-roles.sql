-- Two roles for linkr on PostgreSQL, and no more rights than they need. Run it once as a superuser, in linkr's database:
--
--   psql -v owner=linkr_owner -v owner_password=… -v app=linkr -v app_password=… -f postgres-roles.sql DATABASE
--
-- The owner makes and changes the tables (--store-direct). Control lives as the other one (--store): it reads and writes
-- rows, and can neither change nor empty a table.
\set ON_ERROR_STOP on

SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', :'owner', :'owner_password')
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'owner') \gexec
SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', :'app', :'app_password')
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'app') \gexec

-- A commit that is acknowledged is on disk, whatever the server's default is; and nobody holds the log's head for long.
ALTER ROLE :"app" SET synchronous_commit = on;
ALTER ROLE :"app" SET statement_timeout = '30s';
ALTER ROLE :"app" SET idle_in_transaction_session_timeout = '30s';

SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()) \gexec
SELECT format('GRANT CONNECT ON DATABASE %I TO %I, %I', current_database(), :'owner', :'app') \gexec
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO :"owner";
GRANT USAGE ON SCHEMA public TO :"app";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"app";
